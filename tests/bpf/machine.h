/* SPDX-License-Identifier: Apache-2.0 */
/* The tests of the BPF programs run in their own network namespace and with their own bpffs, which
 * vanish with the process. */
#ifndef TESTS_BPF_MACHINE_H
#define TESTS_BPF_MACHINE_H

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "programs/loader.h"

/* Makes them. Returns false, and reports `what` as skipped, if that is not possible. */
static inline bool own_machine(const char *what)
{
	if (!unshare(CLONE_NEWNS | CLONE_NEWNET) &&
	    !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	    !mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL))
		return true;
	printf("1..1\nok 1 - %s # SKIP root is needed (%s)\n", what, strerror(errno));
	return false;
}

static inline bool shell(const char *command)
{
	return system(command) == 0;
}

/* The counters of all slots, summed. */
static inline struct pv_counters sum_of_counters(struct programs *p)
{
	const struct pv_counters *slots = programs_counters(p);
	struct pv_counters total = {0};

	for (unsigned int i = 0; i < PV_COUNTER_SLOTS; i++)
		for (size_t k = 0; k < sizeof(total) / 8; k++)
			((uint64_t *)&total)[k] += ((const uint64_t *)&slots[i])[k];
	return total;
}

#endif
