/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/report/report.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "agent/report/silence.h"
#include "base/counters.h"
#include "base/key_text.h"
#include "base/log.h"
#include "base/version.h"
#include "confine/confine.h"
#include "netlink/rtnl.h"
#include "protocol/limits.h"
#include "service/client.h"
#include "store/store.h"
#include "strict/exit_filters.h"
#include "strict/first_line.h"
#include "tunnel/tunnel.h"

/* Names of files and values come from others and may not be UTF-8, which JSON requires. */
static json_t *any_text(const char *text)
{
	json_t *o = json_string(text);
	char *copy = o ? NULL : strdup(text);

	for (char *c = copy; c && *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	if (copy)
		o = json_string(copy);
	free(copy);
	return o ? o : json_string("");
}

/* --- records --- */

/* A hostile record may cause thousands. The first ones are enough for people. */
#define MAX_REFUSALS 100

char *report_conflicts(const struct registry *r)
{
	char *text = NULL, line[REGISTRY_TEXT];
	size_t len, n;
	const struct registry_refusal *all = registry_refusals(r, &n);
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	for (size_t i = 0, n_listed = 0; i < n && n_listed < MAX_REFUSALS; i++)
		if (registry_reason_is_conflict(all[i].reason)) {
			fprintf(f, "%s\n", registry_explain(&all[i], line));
			n_listed++;
		}
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

static json_t *refusal_list(const struct registry *r)
{
	char range[CIDR_TEXT], line[REGISTRY_TEXT];
	size_t n;
	const struct registry_refusal *all = registry_refusals(r, &n);
	json_t *list = json_array();

	for (size_t i = 0; i < n && i < MAX_REFUSALS; i++)
		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:s, s:s, s:o}", "node", all[i].node, "reason",
				  registry_reason_name(all[i].reason), "range",
				  all[i].range.family ? cidr_format(&all[i].range, false, range)
						      : "",
				  "other", all[i].other ? all[i].other : "", "text",
				  any_text(registry_explain(&all[i], line))));
	return list;
}

/* --- status --- */

const char *report_endpoint(const struct endpoint *e, char out[REPORT_ENDPOINT])
{
	char address[INET6_ADDRSTRLEN];

	*out = 0;
	if (!endpoint_present(e))
		return out;
	if (e->to.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &e->to.v6.sin6_addr, address, sizeof(address));
		snprintf(out, REPORT_ENDPOINT, "[%s]:%u", address, ntohs(e->to.v6.sin6_port));
	} else {
		inet_ntop(AF_INET, &e->to.v4.sin_addr, address, sizeof(address));
		snprintf(out, REPORT_ENDPOINT, "%s:%u", address, ntohs(e->to.v4.sin_port));
	}
	return out;
}

struct peer_list {
	json_t *list;
	const struct plan *plan;
	size_t n_explained;
	struct rtnl_socket questions; /* to the kernel, about their paths */
};

static void add_peer(void *context, const struct tunnel_peer_status *p)
{
	struct peer_list *l = context;
	const struct plan_peer *pp = plan_find_peer(l->plan, p->node);
	const struct cidr address = pp ? pp->tunnel : (struct cidr){.family = AF_UNSPEC};
	char key[KEY_TEXT], endpoint[REPORT_ENDPOINT], text[CIDR_TEXT], why[SILENCE_TEXT] = "";

	if (l->n_explained < SILENCE_MAX && *silence_explain(&l->questions, p, why))
		l->n_explained++;
	key_format(p->key, key);
	json_array_append_new(
		l->list,
		json_pack("{s:s, s:s, s:s, s:s, s:b, s:I, s:b, s:I, s:o, s:I, s:I, s:o}", "node",
			  p->node, "publicKey", key, "endpoint",
			  report_endpoint(p->endpoint, endpoint), "tunnelAddress",
			  address.family ? cidr_format(&address, true, text) : "", "encrypting",
			  p->encrypting, "encryptingSince", (json_int_t)p->encrypting_since,
			  "session", p->session, "lastHandshake", (json_int_t)p->since,
			  "sessionAge",
			  p->session_age == UINT64_MAX
				  ? json_null()
				  : json_integer((json_int_t)(p->session_age / NSEC_PER_SEC)),
			  "sent", (json_int_t)p->sent, "received", (json_int_t)p->received,
			  "silence", *why ? any_text(why) : json_null()));
}

/* The pods' ranges and their nodes. Traffic to them must not be in plain. */
static json_t *range_list(const struct plan *p)
{
	json_t *list = json_array();
	char text[CIDR_TEXT];

	for (size_t i = 0; i < p->n_ranges; i++) {
		const struct plan_range *r = &p->ranges[i];

		if (r->owner == PLAN_OTHER)
			json_array_append_new(
				list, json_pack("{s:s, s:s, s:b, s:b}", "cidr",
						cidr_format(&r->cidr, false, text), "node", r->name,
						"peer", r->peer != PLAN_NO_PEER, "host", r->host));
	}
	return list;
}

static void add_device(const struct device_view *v, void *context)
{
	char key[KEY_TEXT] = "";

	if (v->has_key)
		key_format(v->public_key, key);
	json_object_set_new(context, "publicKey", json_string(key));
	json_object_set_new(context, "port", json_integer(v->listen_port));
	json_object_set_new(context, "mtu", json_integer(v->mtu));
	json_object_set_new(context, "workers", json_integer(v->workers));
	json_object_set_new(context, "cipher", json_string(v->aead));
	json_object_set_new(context, "superpackets", json_boolean(v->superpackets));
	json_object_set_new(context, "wire", json_string(v->wire));
	json_object_set_new(context, "wireWhy", any_text(v->wire_reason));
	json_object_set_new(context, "wireRefused", json_boolean(v->wire_refused));
	json_object_set_new(context, "lowLatency", json_boolean(v->low_latency));
	json_object_set_new(context, "lowLatencyLacks",
			    *v->latency_missing ? any_text(v->latency_missing) : json_null());
}

/* The reasons of drops that occurred, and how often. */
static json_t *drop_list(const struct pv_counters *c)
{
	json_t *all = json_object();
	size_t n;
	const struct counter_field *fields = counters_drops(&n);

	for (size_t i = 0; i < n; i++) {
		const uint64_t drops = counter_read(c, &fields[i]);

		if (drops)
			json_object_set_new(all, counter_reason(&fields[i]),
					    json_integer((json_int_t)drops));
	}
	return all;
}

static json_t *tunnel_status(const struct report_input *in, size_t i)
{
	static const char *const states[] = {
		[TUNNEL_OFF] = "off", [TUNNEL_ON] = "on", [TUNNEL_LINGERING] = "ending"};
	struct tunnel *t = in->tunnels[i];
	struct client_device *d = tunnel_device(t);
	json_t *o = json_object(), *peers = json_array();
	struct peer_list list = {.list = peers, .plan = &in->plans[i]};
	const char *problem, *reason;
	struct pv_counters counters;
	char address[CIDR_TEXT];

	json_object_set_new(o, "family", json_string(i ? "ipv6" : "ipv4"));
	json_object_set_new(o, "state", json_string(states[tunnel_state(t)]));
	if (d) {
		json_object_set_new(o, "interface", json_string(client_device_name(d)));
		json_object_set_new(
			o, "address",
			json_string(in->plans[i].address.family
					    ? cidr_format(&in->plans[i].address, true, address)
					    : ""));
		client_device_report(d, add_device, NULL, o);
		tunnel_each_peer(t, add_peer, &list);
		rtnl_close(&list.questions);
		client_device_counters(d, &counters);
		json_object_set_new(o, "drops", drop_list(&counters));
	}
	problem = tunnel_problem(t, &reason);
	json_object_set_new(o, "problem", problem ? any_text(problem) : json_null());
	json_object_set_new(o, "peers", peers);
	json_object_set_new(o, "ranges", range_list(&in->plans[i]));
	return o;
}

static json_t *conflict_list(const char *text)
{
	json_t *list = json_array();

	while (text && *text) {
		const char *end = strchrnul(text, '\n');
		char *line = strndup(text, (size_t)(end - text));

		json_array_append_new(list, any_text(line ? line : ""));
		free(line);
		text = *end ? end + 1 : end;
	}
	return list;
}

static json_t *settings_status(const struct settings_stack *s)
{
	static const char *const layers[SETTINGS_LAYERS] = {"default", "cluster", "node",
							    "environment", "flag"};
	json_t *all = json_object();

	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const char *name = settings_table[i].name;
		enum settings_layer from;
		json_t *value = any_text(settings_text(s, name, &from));

		json_object_set_new(all, name,
				    json_pack("{s:o, s:s}", "value", value, "from", layers[from]));
	}
	return all;
}

static json_t *guard_devices_status(const struct exit_filters *f)
{
	json_t *all = json_array();

	for (size_t i = 0; i < exit_filters_count(f); i++) {
		const struct exit_filter_state e = exit_filter_state(f, i);

		json_array_append_new(all, json_pack("{s:o, s:b, s:o}", "device", any_text(e.name),
						     "stands", e.in_place, "before",
						     *e.before ? any_text(e.before) : json_null()));
	}
	return all;
}

static json_t *guard_status(const struct exit_filters *f)
{
	struct pv_counters c;

	exit_filters_counters(f, &c);
	return json_pack("{s:b, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}",
			 "stands", exit_filters_in_place(f), "method", exit_filters_method(f),
			 "devices", guard_devices_status(f), "displaced",
			 (json_int_t)exit_filters_displaced(f), "leaks", (json_int_t)c.leaks,
			 "leaked", (json_int_t)c.leaked, "plainBeforeEncryption",
			 (json_int_t)c.plain_before_encryption, "dropLeak", (json_int_t)c.drop_leak,
			 "plainInward", (json_int_t)c.plain_inward, "leakedInward",
			 (json_int_t)c.leaked_inward, "plainInwardBeforeEncryption",
			 (json_int_t)c.plain_inward_before_encryption, "dropPlainInward",
			 (json_int_t)c.drop_plain_inward, "dropWireShort",
			 (json_int_t)c.drop_wire_short, "drops", drop_list(&c));
}

static json_t *first_line_status(const struct first_line *f)
{
	const struct first_line_state s = first_line_get_state(f);

	return json_pack("{s:b, s:b, s:b, s:I, s:I, s:I}", "wanted", s.wanted, "routing", s.routing,
			 "nftables", s.ip_filter, "dropInward", (json_int_t)s.dropped.inward,
			 "dropOutward", (json_int_t)s.dropped.outward, "dropMarked",
			 (json_int_t)s.dropped.marked);
}

/* "xdp" if one tunnel uses it. The other cannot use it then, because a queue belongs to one
 * socket. */
static const char *wire_of(const json_t *tunnels)
{
	const json_t *t;
	size_t i;

	json_array_foreach (tunnels, i, t) {
		const char *wire = json_string_value(json_object_get(t, "wire"));

		if (wire && !strcmp(wire, "xdp"))
			return "xdp";
	}
	return "socket";
}

/* --- the store --- */

static void add_held(void *context, bool settings, const char *name, const char *why)
{
	json_array_append_new(
		context, json_pack("{s:s, s:o?, s:o}", "kind", settings ? "settings" : "record",
				   "node", name ? any_text(name) : NULL, "why", any_text(why)));
}

/* NULL: nothing is wrong. */
static json_t *store_problem(const struct store_health *h)
{
	char *text = health_text(h);
	json_t *o = text && *text ? json_pack("{s:I, s:o, s:I}", "since",
					      (json_int_t)health_stale_since(h), "why",
					      any_text(text), "count", (json_int_t)h->n_problems)
				  : NULL;

	free(text);
	return o;
}

bool report_synced(const struct report_input *in)
{
	return in->synced && in->store && !store_health(in->store)->blind;
}

/* NULL: the store has one source, or none is in use yet. */
static json_t *route_source(const struct store_health *h)
{
	return *h->route_source ? json_pack("{s:s, s:o}", "name", h->route_source, "why",
					    any_text(h->route_source_why))
				: NULL;
}

static json_t *store_status(const struct report_input *in)
{
	static const struct store_health none;
	const struct store_health *h = in->store ? store_health(in->store) : &none;
	json_t *held = json_array();

	if (in->store)
		store_each_held(in->store, add_held, held);
	return json_pack("{s:o, s:b, s:I, s:I, s:o, s:o?, s:o, s:o?}", "name",
			 any_text(in->store ? store_name(in->store) : ""), "synced",
			 report_synced(in), "lastSync", (json_int_t)h->last_sync, "errors",
			 (json_int_t)h->errors, "lastError", any_text(h->last_error), "trouble",
			 store_problem(h), "held", held, "routeSource", route_source(h));
}

static json_t *tunnel_rights(const struct client_rights *r)
{
	if (!r)
		return json_null();
	return json_pack("{s:o, s:o}", "user",
			 *r->user ? json_integer(atoll(r->user)) : json_null(), "capabilities",
			 r->limited ? any_text(r->capabilities) : json_null());
}

/* NULL stands for a process that kept all rights: no part is in force. */
static json_t *confinement_status(const struct confinement *c, const struct client_rights *tunnel)
{
	json_t *parts = json_array();

	for (int i = 0; i < CONFINE_PARTS; i++) {
		const char *missing = c ? c->parts[i].missing : "--unconfined";

		json_array_append_new(parts,
				      json_pack("{s:s, s:b, s:o}", "part", confine_part_name(i),
						"inForce", c && c->parts[i].in_force, "missing",
						*missing ? any_text(missing) : json_null()));
	}
	return json_pack("{s:o, s:o, s:o}", "parts", parts, "capabilities",
			 c ? any_text(c->capabilities) : json_null(), "tunnel",
			 tunnel_rights(tunnel));
}

json_t *report_status_object(const struct report_input *in)
{
	const char *refused = settings_refused(in->settings);
	json_t *o = json_object(), *tunnels = json_array();

	json_object_set_new(o, "version", json_integer(1));
	json_object_set_new(o, "program", json_string(PODVEIL_VERSION));
	json_object_set_new(o, "time", json_integer((json_int_t)time(NULL)));
	json_object_set_new(o, "node", json_string(in->node));
	json_object_set_new(o, "uplink", any_text(in->uplink));
	json_object_set_new(o, "store", store_status(in));
	for (size_t i = 0; i < in->n_tunnels; i++)
		json_array_append_new(tunnels, tunnel_status(in, i));
	json_object_set_new(o, "tunnels", tunnels);
	json_object_set_new(o, "firstLine", first_line_status(in->first_line));
	json_object_set_new(o, "guard", guard_status(in->exit_filters));
	json_object_set_new(o, "strict", json_boolean(settings_get(in->settings)->strict));
	json_object_set_new(o, "wire", json_string(wire_of(tunnels)));
	json_object_set_new(o, "conflicts", conflict_list(in->conflicts));
	json_object_set_new(o, "recordsRefused", refusal_list(in->registry));
	json_object_set_new(o, "refused", refused ? any_text(refused) : json_null());
	json_object_set_new(o, "failed", json_boolean(in->failed));
	json_object_set_new(o, "http", in->http ? any_text(in->http) : json_null());
	json_object_set_new(o, "rights", confinement_status(in->confinement, in->tunnel_rights));
	json_object_set_new(o, "settings", settings_status(in->settings));
	return o;
}

char *report_status_text(const struct report_input *in)
{
	json_t *o = report_status_object(in);
	char *text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;

	json_decref(o);
	return text;
}

static void peer_unready(void *context, const struct tunnel_peer_status *p)
{
	if (p->awaited)
		fprintf(context, "no session with %s yet\n", p->node);
}

char *report_unready(const struct report_input *in)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	if (!in->synced)
		fprintf(f, "the store has not been read yet\n");
	if (in->failed)
		fprintf(f, "some changes failed: see the log\n");
	for (size_t i = 0; i < in->n_tunnels; i++)
		if (tunnel_state(in->tunnels[i]) == TUNNEL_ON)
			tunnel_each_peer(in->tunnels[i], peer_unready, f);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}
