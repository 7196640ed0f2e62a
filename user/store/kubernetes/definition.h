/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the API server whether a custom resource stays. When a CustomResourceDefinition is deleted,
 * the server first deletes all objects of it, which looks as if somebody had deleted them. The
 * definition itself goes when the last object is gone and all finalizers are done, which may take
 * any time. Until then, discovery lists the resource without the verb "create".
 *
 * Discovery is open to each client that has logged in (ClusterRole system:discovery).
 *
 * Thread: control.
 */
#ifndef STORE_KUBERNETES_DEFINITION_H
#define STORE_KUBERNETES_DEFINITION_H

#include "store/http/rest.h"

enum definition_state {
	DEFINITION_STAYS,
	DEFINITION_GOES,    /* it is gone, or is being removed */
	DEFINITION_UNKNOWN, /* the answer says why */
};

struct definition {
	struct rest *rest;
	const char *path; /* of the objects: "/apis/GROUP/VERSION/RESOURCE"; outlives this */
	void (*told)(void *context, enum definition_state s, const struct rest_answer *a);
	void *context;
	struct rest_call *call; /* under way; NULL: none */
};

/* Asks, and calls told(), unless it is cancelled before. A question that is under way is replaced.
 * 0 or -ENOMEM. */
int definition_ask(struct definition *d);
void definition_cancel(struct definition *d);

#endif
