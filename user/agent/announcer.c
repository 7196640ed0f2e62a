/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/announcer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/client.h"
#include "store/store.h"
#include "strict/exit_filters.h"
#include "tunnel/tunnel.h"

struct announcer {
	char *conflicts, *refused; /* as last published */
	char *problem;
	uint64_t leaked;
	bool leaks_known;
};

struct announcer *announcer_new(void)
{
	return calloc(1, sizeof(struct announcer));
}

void announcer_free(struct announcer *a)
{
	if (!a)
		return;
	free(a->conflicts);
	free(a->refused);
	free(a->problem);
	free(a);
}

/* True if the text is not empty and differs from the last one. Keeps a copy in *last. */
static bool text_changed(char **last, const char *text)
{
	if (text && *last && !strcmp(text, *last))
		return false;
	free(*last);
	*last = text ? strdup(text) : NULL;
	return text && *text;
}

static void visit_mode(const struct device_view *v, void *context)
{
	*(bool *)context = v->superpackets;
}

static const char *first_problem(const struct report_input *in, const char **reason)
{
	const char *problem = NULL;

	for (size_t i = 0; i < in->n_tunnels && !problem; i++)
		problem = tunnel_problem(in->tunnels[i], reason);
	return problem;
}

/* The state says nothing about peers (store/kubernetes/node_status.h has the reason). Their number,
 * and with how many of them traffic is encrypted, is in status and metrics. */
static void publish_state(const struct report_input *in)
{
	static const char *const families[] = {"IPv4", "IPv6"};
	struct store_state state = {.ready = !in->failed, .reason = "EncryptionOff"};
	char message[512] = "encryption is switched off";
	const char *problem, *why;
	size_t at = 0;

	for (size_t i = 0; i < in->n_tunnels; i++) {
		struct client_device *d = tunnel_device(in->tunnels[i]);
		bool superpackets = false;

		if (!d || tunnel_state(in->tunnels[i]) != TUNNEL_ON)
			continue;
		client_device_report(d, visit_mode, NULL, &superpackets);
		at += (size_t)snprintf(message + at, sizeof(message) - at, "%s%s: encrypts, %s",
				       at ? "; " : "", families[i],
				       superpackets ? "superpackets" : "per packet");
		state.reason = "Encrypting";
	}
	problem = first_problem(in, &why);
	if (!problem && in->failed) {
		problem = "some changes failed: see the agent's log";
		why = "NotEverythingDone";
	}
	if (problem) {
		state.ready = false;
		state.reason = why;
		snprintf(message + at, sizeof(message) - at, "%s%s", at ? "; " : "", problem);
	}
	state.message = message;
	store_set_state(in->store, &state);
}

static void report_leaks(struct announcer *a, const struct report_input *in)
{
	struct pv_counters c;

	exit_filters_counters(in->exit_filters, &c);
	if (a->leaks_known && c.leaked > a->leaked)
		store_event(in->store, "PlaintextLeft",
			    "packets for remote pods left this node unencrypted: podveil verify "
			    "shows which, podveilStrictMode drops them");
	a->leaked = c.leaked;
}

void announcer_update(struct announcer *a, const struct report_input *in)
{
	const char *problem, *reason;

	if (!in->store)
		return;
	publish_state(in);
	if (text_changed(&a->conflicts, in->conflicts))
		store_event(in->store, "NodesContradict", a->conflicts);
	if (text_changed(&a->refused, settings_refused(in->settings)))
		store_event(in->store, "SettingRefused", a->refused);
	problem = first_problem(in, &reason);
	if (text_changed(&a->problem, problem ? problem : ""))
		store_event(in->store, reason, a->problem);
	report_leaks(a, in);
	a->leaks_known = true;
}

void announcer_withdraw(struct store *s)
{
	const struct store_state gone = {
		.ready = false, .reason = "Removed", .message = "no agent runs on this node"};

	store_set_state(s, &gone);
}
