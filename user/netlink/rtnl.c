/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/rtnl.h"

#include <errno.h>
#include <linux/netlink.h>

/* A dump's datagram is as large as the reader's buffer allows, up to 32 KiB. */
#define RECEIVE_BUFFER 32768

struct nlmsghdr *rtnl_begin(void *buffer, uint16_t type, uint16_t flags, void **body,
			    size_t body_size)
{
	struct nlmsghdr *m = mnl_nlmsg_put_header(buffer);

	m->nlmsg_type = type;
	m->nlmsg_flags = NLM_F_REQUEST | flags;
	*body = mnl_nlmsg_put_extra_header(m, body_size);
	return m;
}

static int open_socket(struct mnl_socket **out)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);

	if (!s)
		return -errno;
	/* Dumps are filtered by the kernel where the request names an interface. */
	mnl_socket_setsockopt(s, NETLINK_GET_STRICT_CHK, &(int){1}, sizeof(int));
	*out = s;
	return mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
}

static int exchange(struct mnl_socket *s, const struct nlmsghdr *message, mnl_cb_t each,
		    void *context)
{
	char buffer[RECEIVE_BUFFER];
	int status = MNL_CB_OK, err = 0;

	if (mnl_socket_sendto(s, message, message->nlmsg_len) < 0)
		err = -errno;
	while (!err && status == MNL_CB_OK) {
		ssize_t n = mnl_socket_recvfrom(s, buffer, sizeof(buffer));

		if (n < 0) {
			err = errno == EINTR ? 0 : -errno;
			continue;
		}
		status = mnl_cb_run(buffer, (size_t)n, message->nlmsg_seq, mnl_socket_get_portid(s),
				    each, context);
		if (status == MNL_CB_ERROR)
			err = -errno;
	}
	return err;
}

int rtnl_ask(struct rtnl_socket *s, struct nlmsghdr *message, mnl_cb_t answer, void *context)
{
	int err = s->socket ? 0 : open_socket(&s->socket);

	message->nlmsg_seq = ++s->asked;
	if (!err)
		err = exchange(s->socket, message, answer, context);
	/* The answer may still come, so nobody may read from this socket any more. */
	if (err)
		rtnl_close(s);
	return err;
}

void rtnl_close(struct rtnl_socket *s)
{
	if (s->socket)
		mnl_socket_close(s->socket);
	s->socket = NULL;
}

int rtnl_query(struct nlmsghdr *message, mnl_cb_t each, void *context)
{
	struct rtnl_socket s = {.socket = NULL};
	const int err = rtnl_ask(&s, message, each, context);

	rtnl_close(&s);
	return err;
}

int rtnl_request(struct nlmsghdr *message)
{
	message->nlmsg_flags |= NLM_F_ACK;
	return rtnl_query(message, NULL, NULL);
}

struct table {
	uint16_t max;
	const struct nlattr **by_type;
};

static int attribute(const struct nlattr *a, void *context)
{
	const struct table *t = context;
	const uint16_t type = mnl_attr_get_type(a);

	if (type <= t->max)
		t->by_type[type] = a;
	return MNL_CB_OK;
}

void rtnl_attributes(const struct nlmsghdr *m, size_t header, const struct nlattr **by_type,
		     uint16_t max)
{
	struct table t = {max, by_type};

	mnl_attr_parse(m, (unsigned int)header, attribute, &t);
}

void rtnl_nested(const struct nlattr *a, const struct nlattr **by_type, uint16_t max)
{
	struct table t = {max, by_type};

	mnl_attr_parse_nested(a, attribute, &t);
}

int rtnl_listen(const int *groups, size_t n, struct mnl_socket **out)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int err = s && mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) >= 0 ? 0 : -errno;

	for (size_t i = 0; i < n && !err; i++) {
		int group = groups[i];

		if (mnl_socket_setsockopt(s, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			err = -errno;
	}
	if (err && s)
		mnl_socket_close(s);
	*out = err ? NULL : s;
	return err;
}
