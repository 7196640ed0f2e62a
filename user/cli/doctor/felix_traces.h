/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Calico's Felix leaves in the kernel: chains whose names begin with cali-, or a table called
 * calico. A container that shares the node's network sees them where it cannot see the process.
 * Needs no program of others; changes and loads nothing. Thread: any.
 */
#ifndef CLI_DOCTOR_FELIX_TRACES_H
#define CLI_DOCTOR_FELIX_TRACES_H

#include <stdbool.h>
#include <stddef.h>

/* True: there are some; `found` names the first, as "chain cali-FORWARD". */
bool felix_traces(char *found, size_t room);

#endif
