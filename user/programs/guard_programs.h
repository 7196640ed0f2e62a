/* SPDX-License-Identifier: Apache-2.0 */
/* The programs of guard and shield, for tests: bpf_prog_test_run_opts() wants their descriptors. */
#ifndef PROGRAMS_GUARD_PROGRAMS_H
#define PROGRAMS_GUARD_PROGRAMS_H

struct guard;

int guard_program_fd(const struct guard *g);  /* guard, TC egress */
int shield_program_fd(const struct guard *g); /* shield, TC ingress */
/* Of devices without an Ethernet header. */
int guard_ip_program_fd(const struct guard *g);
int shield_ip_program_fd(const struct guard *g);
/* As on a kernel without TCX. */
void guard_use_clsact(struct guard *g);

#endif
