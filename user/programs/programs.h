/* SPDX-License-Identifier: Apache-2.0 */
/* The content of `struct programs`, for this folder only. */
#ifndef PROGRAMS_PROGRAMS_H
#define PROGRAMS_PROGRAMS_H

#include <bpf/libbpf.h>
#include <limits.h>

#include "programs/adoption.h"
#include "programs/loader.h"

struct tunnel; /* the skeleton */

struct programs {
	struct tunnel *skeleton;  /* its maps: loaded or adopted */
	struct adoption adoption; /* and its programs */
	bool superpackets;
	char directory[PATH_MAX]; /* of the pins; empty: none */
	struct pv_counters *counters;
	/* The map peer_counters: at first the skeleton's, later larger ones. */
	int peer_counters_fd;
	bool peer_counters_own; /* we must close the fd */
	uint32_t peer_slots;
	uint8_t *peer_counters;
	bool adopted;
	bool unpinned; /* pins are another process', until programs_settle() */
};

int peer_counters_init(struct programs *p, bool adopted);
/* Uses the pinned map of a living process, with its counts. */
int peer_counters_share(struct programs *p, const char *pin_name);
/* Pins the map in use, in place of another one. */
void peer_counters_pin(struct programs *p);
void peer_counters_fini(struct programs *p);

#endif
