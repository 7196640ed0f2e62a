/* SPDX-License-Identifier: Apache-2.0 */
/* `podveil verify` sends these probes: echo requests with a marker, to the tunnel addresses of
 * peers. The marker must not be readable on the wire. One thread; errors are -errno. */
#ifndef CLI_VERIFY_PROBE_H
#define CLI_VERIFY_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"

struct probe;

/* -EPERM: CAP_NET_RAW is missing. The caller owns `marker` and keeps it valid. */
int probe_new(const uint8_t *marker, size_t len, struct probe **out);
void probe_free(struct probe *p);
/* The socket for the family; -1: none. */
int probe_fd(const struct probe *p, int family);
/* The answer brings `target` (below 65536) back. */
int probe_send(struct probe *p, const struct cidr *to, uint16_t target);
/* The target of the next answer, or -EAGAIN. Skips packets that are no answers to us. */
int probe_receive(struct probe *p, int family);

#endif
