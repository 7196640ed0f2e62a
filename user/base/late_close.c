/* SPDX-License-Identifier: Apache-2.0 */
#include "base/late_close.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define N_SENT 2 /* the socket, and the end that receives it */

union control {
	char bytes[CMSG_SPACE(N_SENT * sizeof(int))];
	struct cmsghdr aligned;
};

static void close_ends(struct late_close *l)
{
	for (int i = 0; i < 2; i++) {
		if (l->ends[i] >= 0)
			close(l->ends[i]);
		l->ends[i] = -1;
	}
}

void late_close_begin(struct late_close *l, int socket)
{
	union control control = {{0}};
	struct iovec byte = {"", 1};
	struct msghdr m = {.msg_iov = &byte,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, l->ends)) {
		l->ends[0] = l->ends[1] = -1;
		return;
	}
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(N_SENT * sizeof(int));
	memcpy(CMSG_DATA(c), (int[N_SENT]){socket, l->ends[1]}, N_SENT * sizeof(int));
	/* The other end stays open as well: closing it is what calls the collector. */
	if (sendmsg(l->ends[0], &m, MSG_DONTWAIT) < 0)
		close_ends(l);
}

void late_close_end(struct late_close *l)
{
	union control control;
	char byte;
	struct iovec room = {&byte, 1};
	struct msghdr m = {.msg_iov = &room,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control.bytes)};
	int back[N_SENT];

	if (l->ends[1] >= 0 && recvmsg(l->ends[1], &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) > 0 &&
	    CMSG_FIRSTHDR(&m)) {
		memcpy(back, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(back));
		for (int i = 0; i < N_SENT; i++)
			close(back[i]);
	}
	close_ends(l);
}
