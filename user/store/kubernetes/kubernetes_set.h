/* SPDX-License-Identifier: Apache-2.0 */
/* Changes a settings object of Kubernetes, as `podveil enable` does: it waits for the answer.
 * Thread: control. */
#ifndef STORE_KUBERNETES_KUBERNETES_SET_H
#define STORE_KUBERNETES_KUBERNETES_SET_H

#include "store/http/rest.h"
#include "store/kubernetes/kubernetes_resource.h"
#include "store/store.h"

/* Changes the object of a node, or of the cluster (NULL), or makes it if there is none. 0, or
 * -errno, which is logged. Runs the event loop for up to 10 s per step. */
int kubernetes_set(struct event_base *base, struct rest *rest, const struct kubernetes_resource *r,
		   const char *node, const struct store_setting *changes, unsigned int n);

#endif
