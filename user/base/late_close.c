/* SPDX-License-Identifier: Apache-2.0 */
#include "base/late_close.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/fd_message.h"

#define N_SENT 2 /* the socket, and the end that receives it */

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
	const struct iovec byte = {"", 1};

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, l->ends)) {
		l->ends[0] = l->ends[1] = -1;
		return;
	}
	/* The other end stays open as well: closing it is what calls the collector. */
	if (fd_message_send(l->ends[0], &byte, 1, (int[N_SENT]){socket, l->ends[1]}, N_SENT,
			    MSG_DONTWAIT))
		close_ends(l);
}

void late_close_end(struct late_close *l)
{
	char byte;
	const struct iovec room = {&byte, 1};
	int back[N_SENT];
	size_t n = 0;

	if (l->ends[1] >= 0)
		fd_message_receive(l->ends[1], &room, 1, back, N_SENT, &n, MSG_DONTWAIT);
	while (n)
		close(back[--n]);
	close_ends(l);
}
