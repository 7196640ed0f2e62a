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
	FELIX_WORTH_A_LOOK, /* it encrypts; or it is not to be seen whether it keeps apart */
	FELIX_IN_THE_WAY
};

struct felix_seen {
	enum felix verdict;
	char found[300]; /* by what it was found, what its WireGuard does, what that means for us */
	const char *todo; /* the one command that helps; NULL: none is needed */
};

/* Looks at the processes below `proc` ("/proc") that we may look at, then for what Felix leaves: in
 * the kernel (cli/doctor/felix_traces.h), and in the cluster (cli/doctor/felix_objects.h). */
void felix_detect(const char *proc, const struct settings *s, struct felix_seen *out);

#endif
