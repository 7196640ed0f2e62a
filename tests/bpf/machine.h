/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the programs run on: network and bpffs of their own, that go with the process.
 */
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

/* False, and `what` reported as skipped, where that cannot be had. */
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

/* Of all slots. */
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
