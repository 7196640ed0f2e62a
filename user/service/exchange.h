/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to a socket of requests and answers (device/wg/request_server.h), from the other side.
 * Synchronous, with deadlines. Errors: negative errno.
 */
#ifndef SERVICE_EXCHANGE_H
#define SERVICE_EXCHANGE_H

#include <stddef.h>

/* *out: the socket. -ECONNREFUSED or -ENOENT: nobody listens. */
int exchange_connect(const char *path, int *out);
/* Sends a request and reads the answer. 0 with the answer in *answer, a string that the caller
 * frees; the answer's own errno is in *result. After an error the connection is of no use:
 * -ETIMEDOUT, -EPIPE (the other side ended), -EPROTO. */
int exchange(int fd, const char *request, size_t len, unsigned int seconds, char **answer,
	     int *result);

#endif
