/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd_message.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	char bytes[CMSG_SPACE(FD_MESSAGE_MAX * sizeof(int))];
	struct cmsghdr aligned;
};

int fd_message_send(int socket, const struct iovec *pieces, size_t n_pieces, const int *fds,
		    size_t n_fds, int flags)
{
	struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = n_pieces};
	union control control;

	if (n_fds > FD_MESSAGE_MAX)
		return -E2BIG;
	if (n_fds) {
		struct cmsghdr *c = &control.aligned;

		memset(&control, 0, sizeof(control));
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	return sendmsg(socket, &m, flags | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static size_t take_fds(struct msghdr *m, int out[FD_MESSAGE_MAX])
{
	size_t n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(out, CMSG_DATA(c), n * sizeof(int));
	}
	return n;
}

ssize_t fd_message_receive(int socket, const struct iovec *pieces, size_t n_pieces, int *fds,
			   size_t room, size_t *n_fds, int flags)
{
	union control control;
	struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)pieces,
			   .msg_iovlen = n_pieces,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	int all[FD_MESSAGE_MAX];
	ssize_t length = recvmsg(socket, &m, flags | MSG_CMSG_CLOEXEC);
	size_t n;

	*n_fds = 0;
	if (length < 0)
		return -errno;
	n = take_fds(&m, all);
	if (!length)
		length = -EPIPE;
	else if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || n > room)
		length = -EPROTO;
	while (length < 0 && n)
		close(all[--n]);
	memcpy(fds, all, n * sizeof(int));
	*n_fds = n;
	return length;
}
