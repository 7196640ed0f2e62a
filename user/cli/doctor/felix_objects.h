/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the API server knows about Calico's Felix: annotations of our Node, and FelixConfiguration.
 * Asks only if the agent's store is Kubernetes, with an agent's rights. Objects that may not be
 * read or are not installed count as absent. Thread: any.
 */
#ifndef CLI_DOCTOR_FELIX_OBJECTS_H
#define CLI_DOCTOR_FELIX_OBJECTS_H

#include <net/if.h>
#include <stdbool.h>

struct felix_objects {
	bool node; /* our Node was read */
	/* An annotation of Calico on our Node that our agents never write; empty: none. */
	char annotation[64];
	char key4[64], key6[64]; /* the public keys on our Node, base64; empty: none */
	bool configured;	 /* a FelixConfiguration was read */
	bool enabled4, enabled6; /* wireguardEnabled, wireguardEnabledV6 */
	char interface4[IF_NAMESIZE], interface6[IF_NAMESIZE]; /* empty: not set there */
};

/* Asks the API server if the agent's store is Kubernetes. Without an agent, the environment names
 * the store. Takes some seconds at most. */
void felix_objects_read(struct felix_objects *out);

#endif
