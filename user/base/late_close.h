/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets that a dying process does not wait for. Closing a socket of AF_PACKET or AF_XDP takes a
 * grace period of the kernel, 10 to 30 ms, and a process that is killed closes all of its sockets,
 * one after the other, before its parent hears of its end. So such a socket is also sent through a
 * pair of Unix sockets that is itself sent along: when the process is gone nobody else holds them,
 * and the kernel's garbage collector closes them, on a thread of its own (Linux 6.9 and later; older
 * ones do it within the dying process, as without).
 *
 * Any thread; one that is begun is ended by its owner alone.
 */
#ifndef BASE_LATE_CLOSE_H
#define BASE_LATE_CLOSE_H

struct late_close {
	int ends[2]; /* -1: nothing was begun */
};

#define LATE_CLOSE_NONE                                                                            \
	{                                                                                          \
		{                                                                                  \
			-1, -1                                                                     \
		}                                                                                  \
	}

/* What fails costs time at a kill, and nothing else: it is not reported. */
void late_close_begin(struct late_close *l, int socket);
/* Before the socket is closed: from then on close() closes it, as any other. */
void late_close_end(struct late_close *l);

#endif
