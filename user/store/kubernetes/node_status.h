/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node says of itself in Kubernetes, and only on its own Node: its public keys as Calico's
 * annotations and as our own, put back when somebody changes them; a condition PodveilReady; Events
 * (node_events.h). Keys and condition are tried until they succeed, with waits that grow and are
 * scattered.
 *
 * Whatever is written to a Node is sent to every node of the cluster: n nodes that write once cost
 * n * n watch events. So a Node bears only what that node alone can say, and not what it sees of the
 * others: of n nodes that see one come, none writes.
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

/* From now on these are our keys; all zero: none, which our annotation says. */
void node_status_keys(struct node_status *s, const uint8_t key4[32], const uint8_t key6[32]);
/* The keys of these families are another WireGuard's on this node (Felix's): they stay as they are. */
void node_status_foreign_keys(struct node_status *s, bool v4, bool v6);
/* The cluster has news of a node: is it ours, and is it as it should be? */
void node_status_check(struct node_status *s, const char *node);
void node_status_condition(struct node_status *s, const struct store_state *state);
void node_status_event(struct node_status *s, const char *reason, const char *message);
/* Runs the event loop until the keys are there; at most so long. */
void node_status_flush(struct node_status *s, unsigned int ms);

#endif
