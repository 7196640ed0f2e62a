/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the objects of an API server say of a cluster: which nodes encrypt, which pairs of nodes do
 * not, and why. It believes no node more than it must: a key that is not valid, or that two nodes
 * have, encrypts nothing, and what a node that is gone said last does not count. Pure.
 *
 * Give it all objects, then take the document. Its members:
 *
 *   version, program   1; the version of podveil
 *   cluster            address of the API server
 *   encrypted          all nodes encrypt, and all was read
 *   nodes              name, encrypts, ipv4, ipv6 (is there a key that can be used), reason, why,
 *                      since (of the condition, or null), address (or null), agent (null, or pod,
 *                      image, ready)
 *   pairs              all, encrypted; plain: a, b, why of those that are not,
 *                      at most a thousand
 *   settings           resource, installed; objects: name to settings
 *   problems           texts: what could not be read, what somebody should know
 */
#ifndef CLI_CLUSTER_OVERVIEW_H
#define CLI_CLUSTER_OVERVIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "cli/paint.h"

struct overview;

struct overview *overview_new(void); /* NULL: no memory */
void overview_free(struct overview *o);

/* Objects, in any order. Those without a name are ignored. */
void overview_node(struct overview *o, const json_t *node);
void overview_agent(struct overview *o, const json_t *pod);
/* Agents run as pods: a node on which none is ready is not taken at its word. */
void overview_expect_agents(struct overview *o);
void overview_settings(struct overview *o, const json_t *object);
/* `unknown`: nobody can say that all nodes encrypt. */
void overview_problem(struct overview *o, bool unknown, const char *what);

/* A new reference; NULL: no memory. `resource`: the one with the settings; `installed`: it exists. */
json_t *overview_document(struct overview *o, const char *server, const char *resource,
			  bool installed);

/* Prints the document as a table. `wide`: with addresses, agents and times. */
void overview_print(const json_t *document, bool wide, const struct paint *paint, FILE *f);

#endif
