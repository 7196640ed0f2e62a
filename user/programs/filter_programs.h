/* SPDX-License-Identifier: Apache-2.0 */
/* The programs of guard and shield for tests: bpf_prog_test_run_opts() needs their descriptors. */
#ifndef PROGRAMS_FILTER_PROGRAMS_H
#define PROGRAMS_FILTER_PROGRAMS_H

struct device_filters;

int egress_program_fd(const struct device_filters *g);	/* guard, TC egress */
int ingress_program_fd(const struct device_filters *g); /* shield, TC ingress */
/* For devices without an Ethernet header. */
int egress_ip_program_fd(const struct device_filters *g);
int ingress_ip_program_fd(const struct device_filters *g);
/* Uses clsact, as on a kernel without TCX. */
void device_filters_use_clsact(struct device_filters *g);

#endif
