/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the tunnel process of a name does what it can, asked from another process: a probe of
 * Kubernetes in the container of that process. Errors: negative errno.
 */
#ifndef SERVICE_PROBE_H
#define SERVICE_PROBE_H

#include <stddef.h>

#define PROBE_TEXT 256

/* 0: it serves, or waits, because another one serves that cannot hand over to it. -EAGAIN: another one
 * serves, from which it takes over now. Else -errno of the connection. `text` says it in words. */
int probe(const char *instance, char text[PROBE_TEXT]);
/* The same about an answer to `hello` (service_request.h). Pure. */
int probe_answer(const char *answer, const char *instance, char text[PROBE_TEXT]);

#endif
