/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages with descriptors, over a Unix socket that keeps messages apart (SOCK_SEQPACKET,
 * SOCK_DGRAM). Any thread. Errors: negative errno; nothing is logged.
 */
#ifndef BASE_FD_MESSAGE_H
#define BASE_FD_MESSAGE_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#define FD_MESSAGE_MAX 253 /* descriptors; the kernel sends no more at a time */

/* Sends the pieces as one message, with at most FD_MESSAGE_MAX descriptors, which stay the caller's.
 * `flags`: of sendmsg(). 0 or -errno. */
int fd_message_send(int socket, const struct iovec *pieces, size_t n_pieces, const int *fds,
		    size_t n_fds, int flags);
/* Receives a message into the pieces, and its descriptors, at most `room`, into `fds`, where they are
 * the caller's and are closed at exec. `flags`: of recvmsg(). The number of bytes; -EPIPE: the other
 * end has closed; -EPROTO: more bytes or descriptors than there is room for. After an error there is
 * no descriptor. */
ssize_t fd_message_receive(int socket, const struct iovec *pieces, size_t n_pieces, int *fds,
			   size_t room, size_t *n_fds, int flags);

#endif
