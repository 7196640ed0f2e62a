/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events of our own Node in Kubernetes. Many nodes see the same thing in the same moment, so each one
 * waits for a scattered while first; the same text within ten minutes is one Event, whose count says
 * how often; and a token bucket bounds how many there are: NODE_EVENTS_BURST at once, then one a
 * minute, more rarely the more nodes there are. What is not taken is not repeated.
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
