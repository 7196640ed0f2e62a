/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/node_object.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "store/kubernetes/cluster.h"

#define ANNOTATION "projectcalico.org/"

struct reader {
	const json_t *node;
	void (*problem)(void *context, const char *what);
	void *context;
};

static const char *annotation(const json_t *node, const char *name)
{
	const json_t *all = json_object_get(json_object_get(node, "metadata"), "annotations");
	const char *text = json_string_value(json_object_get(all, name));

	return text ? text : "";
}

/* "172.18.0.3/16" or "172.18.0.3": the address alone. */
static void take_address(const struct reader *r, const char *name, int family, struct cidr *out)
{
	const char *text = annotation(r->node, name);
	char address[CIDR_TEXT], what[160];
	struct cidr a;

	*out = (struct cidr){.family = AF_UNSPEC};
	if (!*text)
		return;
	snprintf(address, sizeof(address), "%.*s", (int)strcspn(text, "/"), text);
	if (!cidr_parse_address(address, &a) && a.family == family) {
		*out = a;
		return;
	}
	snprintf(what, sizeof(what), "annotation %s: \"%.60s\" is not an IPv%d address", name, text,
		 family == AF_INET ? 4 : 6);
	r->problem(r->context, what);
}

static void take_endpoint(const struct reader *r, const char *name, struct record_endpoint *out)
{
	const char *text = annotation(r->node, name), *wrong;
	char what[300];

	memset(out, 0, sizeof(*out));
	wrong = *text ? record_endpoint_parse(text, out) : NULL;
	if (!wrong)
		return;
	snprintf(what, sizeof(what), "annotation %s: \"%.60s\": %s", name, text, wrong);
	r->problem(r->context, what);
}

static void take_internal(struct node_object *out, const json_t *node)
{
	const json_t *all = json_object_get(json_object_get(node, "status"), "addresses"), *v;
	size_t i;

	memset(&out->internal4, 0, sizeof(out->internal4));
	memset(&out->internal6, 0, sizeof(out->internal6));
	json_array_foreach (all, i, v) {
		const char *type = json_string_value(json_object_get(v, "type"));
		const char *text = json_string_value(json_object_get(v, "address"));
		struct cidr a, *to;

		if (!type || !text || strcmp(type, "InternalIP") != 0 ||
		    cidr_parse_address(text, &a))
			continue;
		to = a.family == AF_INET ? &out->internal4 : &out->internal6;
		if (!to->family)
			*to = a;
	}
}

static void take_spec(const struct reader *r, struct node_object *out)
{
	const json_t *all = json_object_get(json_object_get(r->node, "spec"), "podCIDRs"), *v;
	const size_t n = json_array_size(all);
	size_t i;

	free(out->spec);
	out->n_spec = 0;
	out->spec = calloc(n ? n : 1, sizeof(*out->spec));
	if (!out->spec)
		return;
	json_array_foreach (all, i, v) {
		const char *text = json_string_value(v);
		char what[120];

		if (text && !cidr_parse(text, &out->spec[out->n_spec])) {
			out->n_spec++;
			continue;
		}
		snprintf(what, sizeof(what),
			 "spec.podCIDRs[%zu]: \"%.60s\" is not an address range", i,
			 text ? text : "");
		r->problem(r->context, what);
	}
}

static void take_key(const json_t *node, const char *name, char out[64])
{
	const char *text = annotation(node, name);

	/* A text that is too long is no key. It only matters that it differs from ours. */
	snprintf(out, 64, "%s", strlen(text) < 64 ? text : "(too long)");
}

/* Reads the condition that the node's agent has set last. announcer.c has its reasons. */
static void take_condition(struct node_object *out, const json_t *node)
{
	const json_t *all = json_object_get(json_object_get(node, "status"), "conditions"), *v;
	size_t i;

	out->condition = CONDITION_NONE;
	json_array_foreach (all, i, v) {
		const char *type = json_string_value(json_object_get(v, "type"));
		const char *reason = json_string_value(json_object_get(v, "reason"));

		if (!type || strcmp(type, "PodveilReady") != 0 || !reason)
			continue;
		if (!strcmp(reason, "EncryptionOff") || !strcmp(reason, "Removed"))
			out->condition = CONDITION_OFF;
		else if (!strcmp(reason, "Encrypting") || !strcmp(reason, "PeersMissing") ||
			 !strcmp(reason, "NotEverythingDone"))
			out->condition = CONDITION_ENCRYPTS;
	}
}

void node_object_read(struct node_object *out, const json_t *node,
		      void (*problem)(void *context, const char *what), void *context)
{
	static const struct {
		const char *name;
		int family;
	} overlays[4] = {{ANNOTATION "IPv4VXLANTunnelAddr", AF_INET},
			 {ANNOTATION "IPv4IPIPTunnelAddr", AF_INET},
			 {ANNOTATION "IPv6VXLANTunnelAddr", AF_INET6},
			 {ANNOTATION "IPv6IPIPTunnelAddr", AF_INET6}};
	const struct reader r = {node, problem, context};

	take_address(&r, ANNOTATION "IPv4Address", AF_INET, &out->annotated4);
	take_address(&r, ANNOTATION "IPv6Address", AF_INET6, &out->annotated6);
	take_address(&r, ANNOTATION "IPv4WireguardInterfaceAddr", AF_INET, &out->wireguard4);
	take_address(&r, ANNOTATION "IPv6WireguardInterfaceAddr", AF_INET6, &out->wireguard6);
	for (size_t i = 0; i < 4; i++)
		take_address(&r, overlays[i].name, overlays[i].family, &out->overlays[i]);
	take_endpoint(&r, CLUSTER_ENDPOINT4, &out->endpoint4);
	take_endpoint(&r, CLUSTER_ENDPOINT6, &out->endpoint6);
	take_key(node, CLUSTER_KEY4, out->key4);
	take_key(node, CLUSTER_KEY6, out->key6);
	take_key(node, CLUSTER_OWN_KEY4, out->own4);
	take_key(node, CLUSTER_OWN_KEY6, out->own6);
	take_key(node, CLUSTER_RELEASED4, out->released4);
	take_key(node, CLUSTER_RELEASED6, out->released6);
	take_condition(out, node);
	take_internal(out, node);
	take_spec(&r, out);
}

void node_object_fini(struct node_object *o)
{
	free(o->spec);
	memset(o, 0, sizeof(*o));
}

/* --- its record --- */

static const struct cidr *first_of(const struct cidr *a, const struct cidr *b)
{
	return a->family ? a : b;
}

static void parse_key(const char *text, uint8_t key[32])
{
	size_t len;

	if (sodium_base642bin(key, 32, text, strlen(text), NULL, &len, NULL,
			      sodium_base64_VARIANT_ORIGINAL) ||
	    len != 32)
		memset(key, 0, 32);
}

/* Takes Calico's annotation, else our own, which stays when Felix removes Calico's. */
static void take_keys(const struct node_object *parsed, struct node_record *r)
{
	parse_key(parsed->key4, r->key4);
	if (sodium_is_zero(r->key4, 32))
		parse_key(parsed->own4, r->key4);
	parse_key(parsed->key6, r->key6);
	if (sodium_is_zero(r->key6, 32))
		parse_key(parsed->own6, r->key6);
	r->stopped4 = !strcmp(parsed->own4, CLUSTER_STOPPED) ||
		      (!*parsed->own4 && parsed->condition == CONDITION_OFF);
	r->stopped6 = !strcmp(parsed->own6, CLUSTER_STOPPED) ||
		      (!*parsed->own6 && parsed->condition == CONDITION_OFF);
	r->encrypts = parsed->condition == CONDITION_ENCRYPTS;
	r->released4 = !*parsed->key4 || !strcmp(parsed->key4, parsed->released4);
	r->released6 = !*parsed->key6 || !strcmp(parsed->key6, parsed->released6);
}

void node_object_record(const struct node_object *o, struct node_record *r)
{
	r->address4 = *first_of(&o->annotated4, &o->internal4);
	r->address6 = *first_of(&o->annotated6, &o->internal6);
	r->tunnel4 = *first_of(&o->wireguard4, first_of(&o->overlays[0], &o->overlays[1]));
	r->tunnel6 = *first_of(&o->wireguard6, first_of(&o->overlays[2], &o->overlays[3]));
	r->endpoint4 = o->endpoint4;
	r->endpoint6 = o->endpoint6;
	take_keys(o, r);
	memcpy(r->overlays, o->overlays, sizeof(r->overlays));
}
