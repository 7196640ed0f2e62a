/* SPDX-License-Identifier: Apache-2.0 */
/* Echo requests with a marker in them, to the tunnel addresses of peers: `podveil verify` sends
 * them and shows that the marker is not to be read on the wire. One thread; errors are -errno. */
#ifndef CLI_VERIFY_PROBE_H
#define CLI_VERIFY_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"

struct probe;

/* -EPERM: lacks CAP_NET_RAW. `marker` stays the caller's, and stays. */
int probe_new(const uint8_t *marker, size_t len, struct probe **out);
void probe_free(struct probe *p);
/* IPv4's and IPv6's; -1: none. */
int probe_fd(const struct probe *p, int family);
/* `target` (below 65536) comes back with the answer. */
int probe_send(struct probe *p, const struct cidr *to, uint16_t target);
/* The target of an answer that waits, or -EAGAIN. What is not ours is passed over. */
int probe_receive(struct probe *p, int family);

#endif
