/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a peer is: its address and port, and the local address and interface on which it last
 * reached us (sticky source: we answer from there). Immutable once published; replaced under RCU.
 */
#ifndef WIRE_ENDPOINT_H
#define WIRE_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include "base/cidr.h"

struct endpoint {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} to; /* any.sa_family AF_UNSPEC: none */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	} from;		  /* all zero: the kernel chooses */
	int from_ifindex; /* 0: the kernel chooses */
};

static inline bool endpoint_present(const struct endpoint *e)
{
	return e && e->to.any.sa_family != AF_UNSPEC;
}

static inline socklen_t endpoint_len(const struct endpoint *e)
{
	return e->to.any.sa_family == AF_INET6 ? sizeof(e->to.v6) : sizeof(e->to.v4);
}

/* The peer's address. AF_UNSPEC: there is none. */
static inline struct cidr endpoint_address(const struct endpoint *e)
{
	struct cidr c = {.family = AF_UNSPEC};

	if (e->to.any.sa_family == AF_INET) {
		c = (struct cidr){.family = AF_INET, .prefix_len = 32};
		memcpy(c.address, &e->to.v4.sin_addr, sizeof(e->to.v4.sin_addr));
	} else if (e->to.any.sa_family == AF_INET6) {
		c = (struct cidr){.family = AF_INET6, .prefix_len = 128};
		memcpy(c.address, &e->to.v6.sin6_addr, sizeof(e->to.v6.sin6_addr));
	}
	return c;
}

/* The peer's port, in host byte order. */
static inline uint16_t endpoint_port(const struct endpoint *e)
{
	return ntohs(e->to.any.sa_family == AF_INET6 ? e->to.v6.sin6_port : e->to.v4.sin_port);
}

/* Same peer address, port and scope, and same local address. */
static inline bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	if (a->to.any.sa_family != b->to.any.sa_family || a->from_ifindex != b->from_ifindex)
		return false;
	if (a->to.any.sa_family == AF_INET)
		return a->to.v4.sin_addr.s_addr == b->to.v4.sin_addr.s_addr &&
		       a->to.v4.sin_port == b->to.v4.sin_port &&
		       a->from.v4.s_addr == b->from.v4.s_addr;
	return !memcmp(&a->to.v6.sin6_addr, &b->to.v6.sin6_addr, sizeof(a->to.v6.sin6_addr)) &&
	       a->to.v6.sin6_port == b->to.v6.sin6_port &&
	       a->to.v6.sin6_scope_id == b->to.v6.sin6_scope_id &&
	       !memcmp(&a->from.v6, &b->from.v6, sizeof(a->from.v6));
}

#endif
