/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes what the kernel lets only a process with CAP_BPF make: programs (with CAP_PERFMON, since
 * they read the kernel's structures), and maps. A process that has keys gives these rights up. So
 * it first starts a child, podveil-maker, which keeps them and has no others: it makes the
 * programs that are built in, and nothing else, and sends descriptors. Everything that is done with a
 * descriptor needs no right. Without a child, this process makes them itself.
 *
 * Owner: the control thread. Errors: negative errno.
 */
#ifndef PROGRAMS_PROGRAM_MAKER_H
#define PROGRAMS_PROGRAM_MAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "programs/adoption.h"

#define MADE_FDS    (ADOPTION_MAPS + 1 + ADOPTION_PROGRAMS)
#define RECORD_ROOM 1024

/* Descriptors of the maps of an object that have a name, and then of the programs that were loaded,
 * each in the order of the object. */
struct made {
	size_t n;
	int fds[MADE_FDS];
};

/* Starts the child. It calls confine(), then serves this process until that ends. Before there are
 * threads. 0 or -errno. */
int program_maker_start(void (*confine)(void *context), void *context);

/* Loads the object. `counters`: the map of counters to go on with, or -1. The caller closes what is
 * in *out. */
int make_programs(bool superpackets, int counters, struct made *out);
/* A map peer_counters with so many slots, or -errno. */
int make_peer_counters(uint32_t slots);
/* A map with one value, at most RECORD_ROOM bytes, which nobody can change; or -errno. */
int make_record(const void *value, size_t n);

#endif
