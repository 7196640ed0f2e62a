/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What there is to say about a node: the status document (JSON, its members are a contract, listed
 * in user/cli/manual.c) and conflicts between nodes. Thread: control.
 */
#ifndef AGENT_REPORT_REPORT_H
#define AGENT_REPORT_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "plan/plan.h"
#include "plan/settings.h"

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
	const struct plan *plans; /* one a tunnel */
	size_t n_tunnels;
	const struct first_line *first_line;
	const struct exit_filters *exit_filters;
	const struct registry *registry;
	const char *conflicts; /* of report_conflicts(); NULL: none */
	const char *http;      /* where it is served, as --http has it; NULL: nowhere */
	bool failed;
};

/* "192.0.2.1:51820", "[2001:db8::1]:51820"; empty: none. */
#define REPORT_ENDPOINT 64
struct endpoint;
const char *report_endpoint(const struct endpoint *e, char out[REPORT_ENDPOINT]);

/* The store was read completely, and its changes are seen. */
bool report_synced(const struct report_input *in);

/* The status document as an object and as text, both the caller's; NULL: no memory. */
json_t *report_status_object(const struct report_input *in);
char *report_status_text(const struct report_input *in);

/* Why the node is not ready, a line each: store not read, a pass failed, a peer has not answered
 * yet (for 15 s; after that it is out of reach, and no reason to wait for it). Empty: it is ready.
 * Allocated; NULL: no memory. */
char *report_unready(const struct report_input *in);

/* How nodes contradict each other, a line each. Empty: they do not. Allocated; NULL: no memory. */
char *report_conflicts(const struct registry *r);

#endif
