/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVICE_SPAWN_H
#define SERVICE_SPAWN_H

#include "base/log.h"

/* Starts `podveil tunnel`, this same program, in a session of its own, so that it outlives us. It
 * has our standard error, and nothing else of ours. Does not wait for it. 0 or -errno. */
int spawn_tunnel_process(enum log_level level, enum log_format format);

#endif
