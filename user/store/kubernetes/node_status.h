/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node publishes on its own Node in Kubernetes: its public keys, as Calico's annotations and
 * as our own, which are restored when somebody changes them; a condition PodveilReady; Events
 * (node_events.h). Keys and condition are written again until it succeeds, with growing random
 * waits.
 *
 * The API server sends each change of a Node to every node of the cluster: if n nodes write once,
 * this makes n * n watch events. So a node writes only about itself, and nothing that it sees of
 * others: when a new node appears, no other node writes.
 *
 * Thread: control.
 */
#ifndef STORE_KUBERNETES_NODE_STATUS_H
#define STORE_KUBERNETES_NODE_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "store/http/rest.h"
#include "store/kubernetes/cluster.h"
#include "store/store.h"

struct node_status;

struct node_status *node_status_new(struct event_base *base, struct rest *rest,
				    struct cluster *cluster,
				    const char *node); /* NULL: no memory */
void node_status_free(struct node_status *s);

/* Sets our keys. All zero: none, and our annotation says that we have stopped. */
void node_status_keys(struct node_status *s, const uint8_t key4[32], const uint8_t key6[32]);
/* Says whose keys are there. */
void node_status_key_owners(struct node_status *s, enum store_key v4, enum store_key v6);
/* A node has changed. If it is ours, checks its annotations. */
void node_status_check(struct node_status *s, const char *node);
void node_status_condition(struct node_status *s, const struct store_state *state);
void node_status_event(struct node_status *s, const char *reason, const char *message);
/* Runs the event loop until the keys are in the cluster, at most `ms` milliseconds. */
void node_status_flush(struct node_status *s, unsigned int ms);

#endif
