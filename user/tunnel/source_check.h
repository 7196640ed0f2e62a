/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's check of where packets come from (reverse-path filtering, RFC 3704), which would
 * drop what comes through the tunnel and is answered beside it, or the other way round. Thread:
 * control.
 */
#ifndef TUNNEL_SOURCE_CHECK_H
#define TUNNEL_SOURCE_CHECK_H

#include <stdbool.h>

/* While others go over to the tunnel, what comes through `device` may be answered beside it. 0, 1
 * where something was changed, or -errno; a read-only /proc/sys (a container that is not
 * privileged) is logged where it matters, and no error. */
int source_check_loosen(const char *device);

/* With host encryption the mark decides which way a source is looked up, as Calico has it
 * (net.ipv4.conf.all.src_valid_mark). What was there before comes back with `wanted` false, also
 * after another process switched it on. */
void source_check_by_mark(bool wanted);
/* Puts it back where somebody changed it. */
void source_check_repair(void);

#endif
