/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calico's Felix on the same machine: it deletes devices that bear the name of its WireGuard
 * interface, and rules to its routing tables, unless its environment says otherwise. Thread: any.
 */
#ifndef CLI_DOCTOR_FELIX_H
#define CLI_DOCTOR_FELIX_H

#include <stddef.h>

#include "plan/settings.h"

enum felix {
	FELIX_ABSENT,
	FELIX_APART,
	FELIX_UNKNOWN, /* there, in a PID namespace that we do not see */
	FELIX_IN_THE_WAY
};

/* Looks at the processes below `proc` ("/proc") that we may look at, then for what Felix leaves in
 * the kernel (cli/doctor/felix_traces.h). In `found` what was seen, and
 * with FELIX_IN_THE_WAY which of its variables need which value. */
enum felix felix_look(const char *proc, const struct settings *s, char *found, size_t room);

#endif
