/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Talking to rtnetlink, over libmnl: requests that the kernel acknowledges, and dumps. Each call
 * opens and closes its own socket: these are rare and must not mix with the answers of others. Who
 * asks often keeps a socket and uses rtnl_ask(). Functions return 0 or -errno.
 */
#ifndef NETLINK_RTNL_H
#define NETLINK_RTNL_H

#include <libmnl/libmnl.h>
#include <stdint.h>

#define RTNL_BUFFER 8192

/* Begins a message in a buffer of RTNL_BUFFER bytes; flags beside NLM_F_REQUEST. Returns it; *body
 * is zeroed memory of `body_size` for the family's header. */
struct nlmsghdr *rtnl_begin(void *buffer, uint16_t type, uint16_t flags, void **body,
			    size_t body_size);
/* Sends and waits for the acknowledgement. */
int rtnl_request(struct nlmsghdr *message);
/* Sends and calls `each` for each answer until the end of a dump or the only one. */
int rtnl_query(struct nlmsghdr *message, mnl_cb_t each, void *context);

/* A socket for many questions, of one thread. Initialise with {0}. */
struct rtnl_socket {
	struct mnl_socket *socket; /* NULL: the next question opens one */
	uint32_t asked;		   /* the number of the last question, which its answer bears */
};
/* Sends a question that has one answer. After an error the socket is closed, so an answer that comes
 * late is never taken for that of another question. */
int rtnl_ask(struct rtnl_socket *s, struct nlmsghdr *message, mnl_cb_t answer, void *context);
void rtnl_close(struct rtnl_socket *s);

/* The attributes of a message, behind its family's header of so many bytes, or those nested in one:
 * by type, as far as `max`. What is not there stays as it was. */
void rtnl_attributes(const struct nlmsghdr *m, size_t header, const struct nlattr **by_type,
		     uint16_t max);
void rtnl_nested(const struct nlattr *a, const struct nlattr **by_type, uint16_t max);
/* A socket, not blocking, on which the news of these groups (RTNLGRP_...) come; the caller's to
 * close. */
int rtnl_listen(const int *groups, size_t n, struct mnl_socket **out);

#endif
