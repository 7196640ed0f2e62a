/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/deletions.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static bool are_frequent(const struct deletions *d)
{
	return d->at[DELETIONS - 1] && time(NULL) - d->at[DELETIONS - 1] < DELETIONS_SECONDS;
}

void deletions_note(struct deletions *d, const char *interface)
{
	const bool before = are_frequent(d);

	memmove(d->at + 1, d->at, sizeof(d->at) - sizeof(*d->at));
	d->at[0] = time(NULL);
	log_warn("the tunnel device was deleted: it is created again", "interface=%s", interface);
	if (!before && are_frequent(d))
		log_error(
			"another program deletes the tunnel device again and again: packets are lost each time",
			"interface=%s who=\"Felix (calico-node) deletes a device of its own wireguardInterfaceName\" needs=\"another wireguardInterfaceName, or deploy/kubernetes/calico/calico-node.patch.yaml\"",
			interface);
}

const char *deletions_problem(struct deletions *d, const char *interface)
{
	if (!are_frequent(d))
		return NULL;
	snprintf(
		d->problem, sizeof(d->problem),
		"another program (Felix?) deletes %s again and again, and packets are lost each time: set another wireguardInterfaceName",
		interface);
	return d->problem;
}
