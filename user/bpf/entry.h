/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program at TC ingress of pods' devices (bpf/entry.bpf.c), one a tunnel, on that tunnel's
 * maps. What is attached outlives the process, and drops then what it would have redirected: steer
 * finds no socket. Its stamps name slots of the process that loaded it, so that the next one must
 * detach it before its workers begin.
 *
 * Thread: control. Errors: negative errno; nothing logged.
 */
#ifndef BPF_ENTRY_H
#define BPF_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "netlink/cidr.h"
#include "podveil/maps.h"

struct entry_program;
struct programs;

struct entry_program_params {
	int family; /* of the tunnel: what tells its filter from the other tunnel's */
	int tunnel_ifindex, inner_ifindex;
	unsigned int workers; /* queues of the inner end that somebody reads */
};

/* Loads it, with nothing that leads into the tunnel, and pins its maps beside the others. */
int entry_program_load(struct programs *of, const struct entry_program_params *params,
		       struct entry_program **out);
/* What is attached stays. `unpin`: its maps lose their names. */
void entry_program_free(struct entry_program *e, bool unpin);

/* Pins again what somebody unpinned. */
void entry_program_repin(const struct entry_program *e);

/* By longest prefix. Setting a range that is there replaces its way at once. */
int entry_program_set(struct entry_program *e, const struct cidr *to, enum pv_entry_way way);
int entry_program_unset(struct entry_program *e, const struct cidr *to);

/* For tests: bpf_prog_test_run_opts() wants it. */
int entry_program_fd(const struct entry_program *e);

/* 1: had to be attached, 0: is. */
int entry_program_attach(struct entry_program *e, int ifindex);
/* Of whichever process. 1: was attached, 0: was not. */
int entry_program_detach(int family, int ifindex);

#endif
