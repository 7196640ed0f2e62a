/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the API server says of Calico's Felix: annotations of our Node, and FelixConfiguration. It
 * is asked only where the agent's store is Kubernetes, with the rights that an agent has; what may
 * not be read, or is not installed, counts as absent. Thread: any.
 */
#ifndef CLI_DOCTOR_FELIX_OBJECTS_H
#define CLI_DOCTOR_FELIX_OBJECTS_H

#include <net/if.h>
#include <stdbool.h>

struct felix_objects {
	bool node; /* our Node was read */
	/* An annotation of Calico's there that no agent of ours writes; empty: none. */
	char annotation[64];
	char key4[64], key6[64]; /* the public keys there, base64; empty: none */
	bool configured;	 /* a FelixConfiguration was read */
	bool enabled4, enabled6; /* its wireguardEnabled, ...V6 */
	char interface4[IF_NAMESIZE], interface6[IF_NAMESIZE]; /* as it says; empty: it does not */
};

/* Asks whom the agent's store names; without an agent whom the environment names. Takes at most
 * some seconds. */
void felix_objects_read(struct felix_objects *out);

#endif
