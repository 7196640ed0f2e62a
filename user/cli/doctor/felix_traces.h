/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traces of Calico's Felix in the kernel: chains whose names begin with cali-, or a table named
 * calico. A container that shares the node's network can see them, even if it cannot see the
 * process. Needs no other program; changes and loads nothing. Thread: any.
 */
#ifndef CLI_DOCTOR_FELIX_TRACES_H
#define CLI_DOCTOR_FELIX_TRACES_H

#include <stdbool.h>
#include <stddef.h>

/* True: found. `found` names the first one, such as "chain cali-FORWARD". */
bool felix_traces(char *found, size_t room);

#endif
