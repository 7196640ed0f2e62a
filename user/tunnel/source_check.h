/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's reverse-path filter (rp_filter, RFC 3704). With the value 1 it drops a packet that
 * comes through the tunnel if the route back to its sender is not in the tunnel, and the other way
 * round. Thread: control.
 */
#ifndef TUNNEL_SOURCE_CHECK_H
#define TUNNEL_SOURCE_CHECK_H

#include <stdbool.h>

/* Sets rp_filter of `device` to 2 (loose), because peers do not switch to the tunnel all at once.
 * 0: it was loose, 1: changed, or -errno. A read-only /proc/sys (a container without privileges) is
 * no error; it is logged if packets may be lost. */
int source_check_loosen(const char *device);

/* With host encryption the filter has to use the packet's mark for its route lookup, as Calico sets
 * it (net.ipv4.conf.all.src_valid_mark). With `wanted` false the old value is restored, also if an
 * earlier agent changed it. */
void source_check_by_mark(bool wanted);
/* Sets the value again if somebody changed it. */
void source_check_repair(void);

#endif
