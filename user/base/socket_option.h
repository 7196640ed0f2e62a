/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SOCKET_OPTION_H
#define BASE_SOCKET_OPTION_H

#include <errno.h>
#include <sys/socket.h>

/* Sets an option whose value is a number. 0 or -errno. */
static inline int socket_option_set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

#endif
