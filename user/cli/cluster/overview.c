/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cluster/overview.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/json_text.h"
#include "base/version.h"
#include "store/kubernetes/cluster.h"
#include "store/kubernetes/node_object.h"

/* Thousands of nodes have millions of pairs; which they are follows from the nodes. */
#define PAIRS_LISTED 1000

struct node {
	char name[256], reason[64], why[400], since[32], address[CIDR_TEXT];
	char key[2][64];     /* the key that counts, for IPv4 and IPv6; empty: none */
	bool has_agent_said; /* it has a condition PodveilReady */
	bool ready, off;     /* what the condition says */
	bool gone;	     /* its kubelet has not reported for a while */
	json_t *agent;	     /* member of the document, or NULL */
	bool usable[2];	     /* judged: its key is valid and its own alone */
	bool encrypts;	     /* judged */
};

struct overview {
	struct node *nodes;
	size_t n, room;
	json_t *agents;	  /* node to member of the document */
	json_t *settings; /* object to settings */
	json_t *problems;
	bool unknown;	     /* nobody can say that all nodes encrypt */
	bool expects_agents; /* each node must have one that is ready */
};

struct overview *overview_new(void)
{
	struct overview *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->room = 64;
	o->nodes = calloc(o->room, sizeof(*o->nodes));
	o->agents = json_object();
	o->settings = json_object();
	o->problems = json_array();
	if (o->nodes && o->agents && o->settings && o->problems)
		return o;
	overview_free(o);
	return NULL;
}

void overview_free(struct overview *o)
{
	if (!o)
		return;
	json_decref(o->agents);
	json_decref(o->settings);
	json_decref(o->problems);
	free(o->nodes);
	free(o);
}

/* --- texts --- */

/* The length without the part of a UTF-8 sequence that n bytes may end with. */
static size_t whole_sequences(const char *text, size_t n)
{
	size_t lead = n;

	while (lead && n - lead < 3 && ((unsigned char)text[lead - 1] & 0xc0) == 0x80)
		lead--;
	if (lead) {
		const unsigned char c = (unsigned char)text[lead - 1];
		const size_t needs = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

		if (n - (lead - 1) < needs)
			return lead - 1;
	}
	return n;
}

/* Copies a text that others wrote: no control characters, which could move the cursor of a terminal,
 * and no part of a UTF-8 sequence at its end, of which no JSON could be made. */
static void take_text(char *out, size_t room, const char *text)
{
	const size_t n = whole_sequences(text, strnlen(text, room - 1));

	for (size_t i = 0; i < n; i++) {
		const unsigned char c = (unsigned char)text[i];
		const bool c1 = i && (unsigned char)text[i - 1] == 0xc2 && c < 0xa0;

		out[i] = text[i];
		if (c < 0x20 || c == 0x7f)
			out[i] = '?';
		else if (c1)
			out[i - 1] = out[i] = '?';
	}
	out[n] = 0;
}

void overview_problem(struct overview *o, bool unknown, const char *what)
{
	char text[800];

	take_text(text, sizeof(text), what);
	o->unknown |= unknown;
	json_array_append_new(o->problems, json_string(text));
}

/* --- reading objects --- */

static const char *name_of(const json_t *o)
{
	return json_text(json_object_get(o, "metadata"), "name");
}

/* The condition of this type in an object's status, or NULL. */
static const json_t *condition_of(const json_t *o, const char *type)
{
	const json_t *all = json_object_get(json_object_get(o, "status"), "conditions"), *v;
	size_t i;

	json_array_foreach (all, i, v)
		if (!strcmp(json_text(v, "type"), type))
			return v;
	return NULL;
}

static bool is_true(const json_t *condition)
{
	return !strcmp(json_text(condition, "status"), "True");
}

/* The rules of store/kubernetes/cluster.h. */
static void take_key(const char *calico, const char *own, bool off, char out[64])
{
	const bool stopped = !strcmp(own, CLUSTER_STOPPED) || (!*own && off);

	snprintf(out, 64, "%s", stopped ? "" : *calico ? calico : own);
}

static void ignore_problem(void *context, const char *what)
{
	(void)context;
	(void)what;
}

static void read_node(struct node *n, const json_t *o)
{
	const json_t *said = condition_of(o, "PodveilReady"), *kubelet = condition_of(o, "Ready");
	struct node_object parsed = {.spec = NULL};
	const struct cidr *address;

	node_object_read(&parsed, o, ignore_problem, NULL);
	n->has_agent_said = said;
	n->ready = is_true(said);
	n->off = parsed.condition == CONDITION_OFF;
	n->gone = kubelet && !strcmp(json_text(kubelet, "status"), "Unknown");
	take_text(n->reason, sizeof(n->reason), json_text(said, "reason"));
	take_text(n->why, sizeof(n->why), json_text(said, "message"));
	take_text(n->since, sizeof(n->since), json_text(said, "lastTransitionTime"));
	take_key(parsed.key4, parsed.own4, n->off, n->key[0]);
	take_key(parsed.key6, parsed.own6, n->off, n->key[1]);
	address = parsed.annotated4.family   ? &parsed.annotated4
		  : parsed.internal4.family  ? &parsed.internal4
		  : parsed.annotated6.family ? &parsed.annotated6
					     : &parsed.internal6;
	if (address->family)
		cidr_format(address, true, n->address);
	node_object_fini(&parsed);
}

void overview_node(struct overview *o, const json_t *node)
{
	const char *name = name_of(node);

	if (!*name)
		return;
	if (ARRAY_GROW(o->nodes, o->n, o->room)) {
		overview_problem(o, true, "no memory for all nodes");
		return;
	}
	o->nodes[o->n] = (struct node){.ready = false};
	take_text(o->nodes[o->n].name, sizeof(o->nodes[o->n].name), name);
	read_node(&o->nodes[o->n++], node);
}

/* The image of the container podveil, or of the first one. */
static const char *image_of(const json_t *pod)
{
	const json_t *all = json_object_get(json_object_get(pod, "spec"), "containers"), *v;
	size_t i;

	json_array_foreach (all, i, v)
		if (!strcmp(json_text(v, "name"), "podveil"))
			return json_text(v, "image");
	return json_text(json_array_get(all, 0), "image");
}

/* While a pod is replaced there are two on a node: one that is ready counts. */
void overview_agent(struct overview *o, const json_t *pod)
{
	const char *node = json_text(json_object_get(pod, "spec"), "nodeName");
	const bool ready = is_true(condition_of(pod, "Ready"));
	char name[256], image[300];

	if (!*node || !*name_of(pod) || (!ready && json_object_get(o->agents, node)))
		return;
	take_text(name, sizeof(name), name_of(pod));
	take_text(image, sizeof(image), image_of(pod));
	json_object_set_new(
		o->agents, node,
		json_pack("{s:s, s:s, s:b}", "pod", name, "image", image, "ready", ready));
}

void overview_expect_agents(struct overview *o)
{
	o->expects_agents = true;
}

void overview_settings(struct overview *o, const json_t *object)
{
	json_t *spec = json_object_get(object, "spec");

	if (*name_of(object))
		json_object_set_new(o->settings, name_of(object),
				    json_is_object(spec) ? json_incref(spec) : json_object());
}

/* --- judging --- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct node *)a)->name, ((const struct node *)b)->name);
}

static void say(struct node *n, const char *reason, const char *why)
{
	take_text(n->reason, sizeof(n->reason), reason);
	take_text(n->why, sizeof(n->why), why);
}

static bool key_is_valid(const char *text)
{
	unsigned char key[32];
	size_t len;

	return !sodium_base642bin(key, sizeof(key), text, strlen(text), NULL, &len, NULL,
				  sodium_base64_VARIANT_ORIGINAL) &&
	       len == sizeof(key);
}

/* Judges the keys of one family. `owners`: key to the node that was seen with it first. */
static void judge_keys(struct overview *o, int family)
{
	static const char *const names[] = {"IPv4", "IPv6"};
	json_t *owners = json_object();
	char why[400];

	for (struct node *n = o->nodes; n < o->nodes + o->n; n++) {
		const char *key = n->key[family];
		const json_t *first = json_object_get(owners, key);
		struct node *other;

		if (!*key)
			continue;
		n->usable[family] = !first && key_is_valid(key);
		if (first) {
			other = &o->nodes[json_integer_value(first)];
			snprintf(why, sizeof(why), "has the %s key of node %.250s", names[family],
				 other->name);
			say(n, "KeyOfTwoNodes", why);
			snprintf(why, sizeof(why), "has the %s key of node %.250s", names[family],
				 n->name);
			say(other, "KeyOfTwoNodes", why);
			other->usable[family] = false;
		} else if (!n->usable[family]) {
			snprintf(why, sizeof(why), "its %s key is not valid", names[family]);
			say(n, "KeyNotValid", why);
		} else {
			json_object_set_new(owners, key, json_integer(n - o->nodes));
		}
	}
	json_decref(owners);
}

/* Says why a node has no key that can be used, unless that was said. */
static void explain(struct node *n, bool wanted4, bool wanted6)
{
	if (!strncmp(n->reason, "Key", 3))
		return;
	if (!n->has_agent_said)
		say(n, "NoAgent", "no agent has reported: does Podveil run there?");
	else if (n->ready && !n->off)
		say(n, "KeyMissing",
		    wanted4 && !n->usable[0]   ? "no IPv4 key on its Node"
		    : wanted6 && !n->usable[1] ? "no IPv6 key on its Node"
					       : "no key on its Node");
	else if (!*n->why)
		take_text(n->why, sizeof(n->why), "its condition PodveilReady does not say why");
}

static void judge_node(struct node *n, bool wanted4, bool wanted6, bool expects_agents)
{
	const bool keys = (n->usable[0] || n->usable[1]) && (n->usable[0] || !wanted4) &&
			  (n->usable[1] || !wanted6);

	if (n->gone) {
		say(n, "NodeUnknown", "its kubelet does not report; nothing is known of it");
	} else if (expects_agents && n->has_agent_said && !n->agent) {
		say(n, "NoAgent", "no pod of Podveil is on it; what it reported last is old");
	} else if (expects_agents && n->has_agent_said && n->ready &&
		   !json_is_true(json_object_get(n->agent, "ready"))) {
		say(n, "AgentNotReady", "its pod of Podveil is not ready");
	} else if (!keys) {
		explain(n, wanted4, wanted6);
	} else if (!n->has_agent_said) {
		n->encrypts = true;
		say(n, "OtherWireGuard", "has a key, but no agent of Podveil: Felix?");
	} else {
		n->encrypts = n->ready;
	}
}

static bool setting_is_on(const struct overview *o, const char *name)
{
	return json_is_true(json_object_get(json_object_get(o->settings, "default"), name));
}

/* A family counts if the cluster's settings switch it on, or any node has a key for it. */
static void judge(struct overview *o)
{
	bool wanted4 = setting_is_on(o, "wireguardEnabled");
	bool wanted6 = setting_is_on(o, "wireguardEnabledV6");

	qsort(o->nodes, o->n, sizeof(*o->nodes), compare_names);
	judge_keys(o, 0);
	judge_keys(o, 1);
	for (const struct node *n = o->nodes; n < o->nodes + o->n; n++) {
		wanted4 |= *n->key[0];
		wanted6 |= *n->key[1];
	}
	for (struct node *n = o->nodes; n < o->nodes + o->n; n++) {
		n->agent = json_object_get(o->agents, n->name);
		judge_node(n, wanted4, wanted6, o->expects_agents);
	}
}

/* --- the document --- */

static json_t *node_member(const struct node *n)
{
	return json_pack("{s:s, s:b, s:b, s:b, s:s, s:s, s:o, s:o, s:O?}", "name", n->name,
			 "encrypts", n->encrypts, "ipv4", n->usable[0], "ipv6", n->usable[1],
			 "reason", n->reason, "why", n->why, "since",
			 *n->since ? json_string(n->since) : json_null(), "address",
			 *n->address ? json_string(n->address) : json_null(), "agent", n->agent);
}

static json_t *pairs_member(const struct overview *o, size_t encrypting)
{
	json_t *plain = json_array();
	char why[700];

	for (size_t i = 0; i < o->n; i++)
		for (size_t k = i + 1; k < o->n; k++) {
			const struct node *a = &o->nodes[i], *b = &o->nodes[k];
			const struct node *bad = a->encrypts ? b : a;

			if (a->encrypts && b->encrypts)
				continue;
			if (json_array_size(plain) == PAIRS_LISTED)
				goto listed;
			snprintf(why, sizeof(why), "%s: %s", bad->name, bad->why);
			json_array_append_new(plain, json_pack("{s:s, s:s, s:s}", "a", a->name, "b",
							       b->name, "why", why));
		}
listed:
	return json_pack("{s:I, s:I, s:o}", "all", (json_int_t)(o->n ? o->n * (o->n - 1) / 2 : 0),
			 "encrypted",
			 (json_int_t)(encrypting ? encrypting * (encrypting - 1) / 2 : 0), "plain",
			 plain);
}

/* Tells when agents are of different versions, as far as their images say so. */
static void compare_images(struct overview *o)
{
	const char *first = NULL, *node, *image;
	const json_t *agent;
	char what[600];
	void *next;

	json_object_foreach_safe(o->agents, next, node, agent)
	{
		image = json_text(agent, "image");
		if (!first)
			first = image;
		if (strcmp(first, image) != 0) {
			snprintf(what, sizeof(what),
				 "nodes run different images: %.200s and %.200s", first, image);
			overview_problem(o, false, what);
			return;
		}
	}
}

json_t *overview_document(struct overview *o, const char *server, const char *resource,
			  bool installed)
{
	json_t *nodes = json_array();
	size_t encrypting = 0;
	char at[300];

	take_text(at, sizeof(at), server);
	judge(o);
	compare_images(o);
	if (!o->n)
		overview_problem(o, true, "the cluster has no nodes");
	for (size_t i = 0; i < o->n; i++) {
		json_array_append_new(nodes, node_member(&o->nodes[i]));
		encrypting += o->nodes[i].encrypts;
	}
	return json_pack("{s:i, s:s, s:s, s:b, s:o, s:o, s:{s:s, s:b, s:O}, s:O}", "version", 1,
			 "program", PODVEIL_VERSION, "cluster", at, "encrypted",
			 !o->unknown && encrypting == o->n, "nodes", nodes, "pairs",
			 pairs_member(o, encrypting), "settings", "resource", resource, "installed",
			 installed, "objects", o->settings, "problems", o->problems);
}
