/* SPDX-License-Identifier: Apache-2.0 */
/* How Podveil is installed in a cluster, from its DaemonSet: which resource its agents take their
 * settings from. Pure. */
#ifndef CLI_CLUSTER_INSTALLATION_H
#define CLI_CLUSTER_INSTALLATION_H

#include <jansson.h>
#include <stdbool.h>

/* The DaemonSets and the pods of agents. */
#define INSTALLATION_SELECTOR "labelSelector=app.kubernetes.io%2Fname%3Dpodveil"

struct installation {
	bool found;		  /* there is a DaemonSet */
	bool contradictory;	  /* two of them name different resources */
	char config_resource[64]; /* empty: none is named, so agents take the usual one */
};

void installation_daemon_set(struct installation *in, const json_t *daemon_set);

#endif
