/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks Calico's Felix on this machine. Felix deletes devices with the name of its WireGuard
 * interface, and rules that lead to its routing tables, unless its environment says otherwise.
 * Thread: any.
 */
#ifndef CLI_DOCTOR_FELIX_H
#define CLI_DOCTOR_FELIX_H

#include <stddef.h>

#include "plan/settings.h"

enum felix {
	FELIX_ABSENT,
	FELIX_APART,
	FELIX_WORTH_A_LOOK, /* it encrypts; or its environment cannot be read */
	FELIX_IN_THE_WAY
};

struct felix_seen {
	enum felix verdict;
	char found[300];  /* how Felix was found, its WireGuard's state, and the effect on us */
	const char *todo; /* the command that helps; NULL: none is needed */
};

/* Checks the processes below `proc` ("/proc") that may be read, then Felix's traces in the kernel
 * (cli/doctor/felix_traces.h) and in the cluster (cli/doctor/felix_objects.h). */
void felix_detect(const char *proc, const struct settings *s, struct felix_seen *out);

#endif
