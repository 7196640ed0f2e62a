/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of our own Node in Kubernetes. Many nodes may see the same thing at the same moment, so
 * each node waits for a random time first. The same text within ten minutes is one Event, with a
 * count. A token bucket limits the number of Events: NODE_EVENTS_BURST at once, then one a minute,
 * or fewer in a large cluster. An Event that the server refuses is not sent again.
 *
 * Thread: control.
 */
#ifndef STORE_KUBERNETES_NODE_EVENTS_H
#define STORE_KUBERNETES_NODE_EVENTS_H

#include "store/http/rest.h"
#include "store/kubernetes/cluster.h"

#define NODE_EVENTS_BURST 5

struct event_base;
struct node_events;

struct node_events *node_events_new(struct event_base *base, struct rest *rest,
				    const struct cluster *cluster,
				    const char *node); /* NULL: no memory */
void node_events_free(struct node_events *e);

void node_events_add(struct node_events *e, const char *reason, const char *message);

#endif
