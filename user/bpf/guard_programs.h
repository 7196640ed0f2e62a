/* SPDX-License-Identifier: Apache-2.0 */
/* The programs of the uplink, for tests: bpf_prog_test_run_opts() wants their descriptors. */
#ifndef BPF_GUARD_PROGRAMS_H
#define BPF_GUARD_PROGRAMS_H

struct guard;

int guard_program_fd(const struct guard *g);  /* guard, TC egress */
int shield_program_fd(const struct guard *g); /* shield, TC ingress */

#endif
