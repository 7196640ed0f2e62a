/* SPDX-License-Identifier: Apache-2.0 */
/* Who is at the other end of a Unix socket? Pure but for the question to the kernel. */
#ifndef BASE_PEER_USER_H
#define BASE_PEER_USER_H

#include <errno.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/types.h>

/* 0 or -errno. Any thread. */
static inline int peer_user(int fd, struct ucred *out)
{
	socklen_t len = sizeof(*out);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, out, &len) ? -errno : 0;
}

/* Root, or the user that started this process. Not the user that it has become since: the number may
 * be in use elsewhere, and gives no right. Any thread. */
static inline bool peer_user_is_trusted(int fd)
{
	struct ucred other;

	return !peer_user(fd, &other) && (!other.uid || other.uid == (uid_t)getauxval(AT_UID));
}

#endif
