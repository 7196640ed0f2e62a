/* SPDX-License-Identifier: Apache-2.0 */
#include "store/record.h"

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/key_text.h"
#include "store/problem.h"

const char *node_name_problem(const char *name)
{
	const size_t len = strlen(name);

	if (!len)
		return "is empty";
	if (len > NODE_NAME_MAX)
		return "is longer than 253 characters";
	for (size_t i = 0; i < len; i++) {
		const char c = name[i];
		const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

		if (!plain && c != '-' && c != '.')
			return "may have lower-case letters, digits, - and . only";
		if (!plain && (!i || i == len - 1))
			return "begins or ends with - or .";
	}
	return NULL;
}

/* --- parsing --- */

/* *out is NULL if the member is absent or null. */
static int text_of(const json_t *o, const char *member, const char **out, const struct problem *p)
{
	const json_t *v = json_object_get(o, member);

	*out = NULL;
	if (!v || json_is_null(v))
		return 0;
	if (!json_is_string(v))
		return problem_say(p, "%s: not a string", member);
	*out = json_string_value(v);
	return 0;
}

static int address_of(const json_t *o, const char *member, uint8_t family, struct cidr *out,
		      const struct problem *p)
{
	const char *text;
	int err = text_of(o, member, &text, p);

	if (err || !text || !*text)
		return err;
	if (cidr_parse_address(text, out) || out->family != family)
		return problem_say(p, "%s: \"%.60s\" is not an IPv%d address", member, text,
				   family == AF_INET ? 4 : 6);
	return 0;
}

/* A text that is no key counts as no key, as in Calico. */
static int key_of(const json_t *o, const char *member, uint8_t out[32], const struct problem *p)
{
	const char *text;
	size_t len;
	int err = text_of(o, member, &text, p);

	if (!err && text &&
	    (sodium_base642bin(out, 32, text, strlen(text), NULL, &len, NULL,
			       sodium_base64_VARIANT_ORIGINAL) ||
	     len != 32))
		memset(out, 0, 32);
	return err;
}

static int port_of(const json_t *o, const char *member, uint16_t *out, const struct problem *p)
{
	const json_t *v = json_object_get(o, member);

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > 65535)
		return problem_say(p, "%s: not a number from 0 to 65535", member);
	*out = (uint16_t)json_integer_value(v);
	return 0;
}

static int endpoint_of(const json_t *o, const char *member, struct record_endpoint *out,
		       const struct problem *p)
{
	const char *text, *wrong;
	int err = text_of(o, member, &text, p);

	if (err || !text || !*text)
		return err;
	wrong = record_endpoint_parse(text, out);
	return wrong ? problem_say(p, "%s: \"%.60s\": %s", member, text, wrong) : 0;
}

/* If the member is absent or true, the node encrypts. */
static int stopped_of(const json_t *o, const char *member, bool *out, const struct problem *p)
{
	const json_t *v = json_object_get(o, member);

	if (!v || json_is_null(v))
		return 0;
	if (!json_is_boolean(v))
		return problem_say(p, "%s: neither true nor false", member);
	*out = json_is_false(v);
	return 0;
}

static int ranges_of(const json_t *o, struct node_record *r, const struct problem *p)
{
	const json_t *list = json_object_get(o, "podCIDRs"), *v;
	size_t i, n;

	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return problem_say(p, "podCIDRs: not a list");
	n = json_array_size(list);
	if (n > RECORD_MAX_CIDRS)
		return problem_say(p, "podCIDRs: more than %d", RECORD_MAX_CIDRS);
	r->pod_cidrs = calloc(n ? n : 1, sizeof(*r->pod_cidrs));
	if (!r->pod_cidrs)
		return -ENOMEM;
	json_array_foreach (list, i, v) {
		const char *text = json_string_value(v);

		if (!text || cidr_parse(text, &r->pod_cidrs[i]))
			return problem_say(p, "podCIDRs[%zu]: \"%.60s\" is not an address range", i,
					   text ? text : "");
		r->n_pod_cidrs++;
	}
	record_normalise(r);
	return 0;
}

static int members_of(const json_t *o, struct node_record *r, const struct problem *p)
{
	const char *name, *wrong;
	int err = text_of(o, "name", &name, p);

	if (err)
		return err;
	wrong = name ? node_name_problem(name) : "is missing";
	if (wrong)
		return problem_say(p, "name: %s", wrong);
	strcpy(r->name, name);
	err = address_of(o, "ipv4", AF_INET, &r->address4, p);
	err = err ? err : address_of(o, "ipv6", AF_INET6, &r->address6, p);
	err = err ? err : ranges_of(o, r, p);
	err = err ? err : key_of(o, "wireguardPublicKey", r->key4, p);
	err = err ? err : key_of(o, "wireguardPublicKeyV6", r->key6, p);
	err = err ? err : address_of(o, "tunnelIPv4", AF_INET, &r->tunnel4, p);
	err = err ? err : address_of(o, "tunnelIPv6", AF_INET6, &r->tunnel6, p);
	err = err ? err : stopped_of(o, "wireguardEnabled", &r->stopped4, p);
	err = err ? err : stopped_of(o, "wireguardEnabledV6", &r->stopped6, p);
	err = err ? err : port_of(o, "port", &r->port4, p);
	err = err ? err : port_of(o, "portV6", &r->port6, p);
	err = err ? err : endpoint_of(o, "endpoint", &r->endpoint4, p);
	return err ? err : endpoint_of(o, "endpointV6", &r->endpoint6, p);
}

int record_from(const json_t *o, struct node_record *out, char *problem, size_t room)
{
	const struct problem p = {problem, room};
	struct node_record r = {.name = ""};
	int err = json_is_object(o) ? members_of(o, &r, &p) : problem_say(&p, "not a JSON object");

	if (err)
		record_fini(&r);
	else
		*out = r;
	return err;
}

int record_parse(const char *text, size_t len, struct node_record *out, char *problem, size_t room)
{
	const struct problem p = {problem, room};
	json_error_t error;
	json_t *o;
	int err;

	if (len > RECORD_MAX_BYTES)
		return problem_say(&p, "larger than %d bytes", RECORD_MAX_BYTES);
	o = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!o)
		return problem_say(&p, "line %d: %s", error.line, error.text);
	err = record_from(o, out, problem, room);
	json_decref(o);
	return err;
}

/* --- formatting --- */

static void put_address(json_t *o, const char *member, const struct cidr *c)
{
	char text[CIDR_TEXT];

	if (c->family)
		json_object_set_new(o, member, json_string(cidr_format(c, true, text)));
}

static void put_key(json_t *o, const char *member, const uint8_t key[32])
{
	char text[KEY_TEXT];

	if (!sodium_is_zero(key, 32))
		json_object_set_new(o, member, json_string(key_format(key, text)));
}

static void put_port(json_t *o, const char *member, uint16_t port)
{
	if (port)
		json_object_set_new(o, member, json_integer(port));
}

static void put_endpoint(json_t *o, const char *member, const struct record_endpoint *e)
{
	char text[ENDPOINT_TEXT_MAX];

	if (*e->host)
		json_object_set_new(o, member, json_string(record_endpoint_format(e, text)));
}

static void put_stopped(json_t *o, const char *member, bool left)
{
	if (left)
		json_object_set_new(o, member, json_false());
}

json_t *record_object(const struct node_record *r)
{
	json_t *o = json_object(), *list = json_array();
	char range[CIDR_TEXT];

	json_object_set_new(o, "name", json_string(r->name));
	put_address(o, "ipv4", &r->address4);
	put_address(o, "ipv6", &r->address6);
	for (size_t i = 0; i < r->n_pod_cidrs; i++)
		json_array_append_new(list,
				      json_string(cidr_format(&r->pod_cidrs[i], false, range)));
	json_object_set_new(o, "podCIDRs", list);
	put_key(o, "wireguardPublicKey", r->key4);
	put_key(o, "wireguardPublicKeyV6", r->key6);
	put_stopped(o, "wireguardEnabled", r->stopped4);
	put_stopped(o, "wireguardEnabledV6", r->stopped6);
	put_address(o, "tunnelIPv4", &r->tunnel4);
	put_address(o, "tunnelIPv6", &r->tunnel6);
	put_port(o, "port", r->port4);
	put_port(o, "portV6", r->port6);
	put_endpoint(o, "endpoint", &r->endpoint4);
	put_endpoint(o, "endpointV6", &r->endpoint6);
	return o;
}

char *record_format(const struct node_record *r)
{
	json_t *o = record_object(r);
	char *text = json_dumps(o, JSON_INDENT(2)), *whole = NULL;

	json_decref(o);
	if (text && asprintf(&whole, "%s\n", text) < 0)
		whole = NULL;
	free(text);
	return whole;
}

/* --- handling --- */

static struct cidr *copy_ranges(const struct cidr *from, size_t n)
{
	struct cidr *to = calloc(n ? n : 1, sizeof(*to));

	if (to && n)
		memcpy(to, from, n * sizeof(*to));
	return to;
}

int record_copy(struct node_record *to, const struct node_record *from)
{
	struct cidr *ranges = copy_ranges(from->pod_cidrs, from->n_pod_cidrs);
	struct cidr *granted = copy_ranges(from->granted, from->n_granted);

	if (!ranges || !granted) {
		free(ranges);
		free(granted);
		return -ENOMEM;
	}
	*to = *from;
	to->pod_cidrs = ranges;
	to->granted = granted;
	return 0;
}

void record_fini(struct node_record *r)
{
	free(r->pod_cidrs);
	free(r->granted);
	r->pod_cidrs = r->granted = NULL;
	r->n_pod_cidrs = r->n_granted = 0;
}

static bool same_ranges(const struct cidr *a, size_t n, const struct cidr *b, size_t m)
{
	if (n != m)
		return false;
	for (size_t i = 0; i < n; i++)
		if (cidr_compare(&a[i], &b[i]))
			return false;
	return true;
}

bool record_equal(const struct node_record *a, const struct node_record *b)
{
	if (strcmp(a->name, b->name) || cidr_compare(&a->address4, &b->address4) ||
	    cidr_compare(&a->address6, &b->address6) || cidr_compare(&a->tunnel4, &b->tunnel4) ||
	    cidr_compare(&a->tunnel6, &b->tunnel6) || memcmp(a->key4, b->key4, 32) ||
	    memcmp(a->key6, b->key6, 32) || a->tunnels_assigned != b->tunnels_assigned ||
	    a->stopped4 != b->stopped4 || a->stopped6 != b->stopped6 || a->port4 != b->port4 ||
	    a->port6 != b->port6 || a->assigned != b->assigned || a->encrypts != b->encrypts ||
	    a->released4 != b->released4 || a->released6 != b->released6 ||
	    a->source != b->source || !record_endpoint_equal(&a->endpoint4, &b->endpoint4) ||
	    !record_endpoint_equal(&a->endpoint6, &b->endpoint6))
		return false;
	return same_ranges(a->pod_cidrs, a->n_pod_cidrs, b->pod_cidrs, b->n_pod_cidrs) &&
	       same_ranges(a->granted, a->n_granted, b->granted, b->n_granted) &&
	       same_ranges(a->overlays, 4, b->overlays, 4);
}

static int by_range(const void *a, const void *b)
{
	return cidr_compare(a, b);
}

static size_t normalise(struct cidr *all, size_t n)
{
	size_t kept = 0;

	if (n)
		qsort(all, n, sizeof(*all), by_range);
	for (size_t i = 0; i < n; i++)
		if (!kept || cidr_compare(&all[kept - 1], &all[i]))
			all[kept++] = all[i];
	return kept;
}

void record_normalise(struct node_record *r)
{
	r->n_pod_cidrs = normalise(r->pod_cidrs, r->n_pod_cidrs);
	r->n_granted = normalise(r->granted, r->n_granted);
}
