/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports about a node: the status document and the conflicts between nodes. The document is JSON;
 * programs rely on its members, which user/cli/manual.c lists. Thread: control.
 */
#ifndef AGENT_REPORT_REPORT_H
#define AGENT_REPORT_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "plan/plan.h"
#include "plan/settings.h"

struct client_rights;
struct confinement;
struct exit_filters;
struct first_line;
struct store;
struct tunnel;

struct report_input {
	const char *node, *uplink;
	struct store *store;
	bool synced; /* the store was read completely since the agent started */
	const struct settings_stack *settings;
	struct tunnel *const *tunnels;
	const struct plan *plans; /* one per tunnel */
	size_t n_tunnels;
	const struct first_line *first_line;
	const struct exit_filters *exit_filters;
	const struct registry *registry;
	const char *conflicts; /* from report_conflicts(); NULL: none */
	const char *http;      /* the address of the HTTP server, as in --http; NULL: none */
	const struct confinement *confinement;	   /* NULL: the process kept all rights */
	const struct client_rights *tunnel_rights; /* NULL: no tunnel process answers */
	bool failed;				   /* the last pass failed */
};

/* Text like "192.0.2.1:51820" or "[2001:db8::1]:51820"; empty: no endpoint. */
#define REPORT_ENDPOINT 64
struct endpoint;
const char *report_endpoint(const struct endpoint *e, char out[REPORT_ENDPOINT]);

/* The store was read completely, and we see its changes. */
bool report_synced(const struct report_input *in);

/* The status document as an object, and as text. The caller frees both. NULL: no memory. */
json_t *report_status_object(const struct report_input *in);
char *report_status_text(const struct report_input *in);

/* Why the node is not ready, one line per reason: the store was not read, a pass failed, or a peer
 * has not answered yet. After 15 s without an answer a peer counts as unreachable, and is no reason
 * any more. Empty: the node is ready. Allocated; NULL: no memory. */
char *report_unready(const struct report_input *in);

/* How nodes contradict each other, one line each. Empty: no conflict. Allocated; NULL: no
 * memory. */
char *report_conflicts(const struct registry *r);

#endif
