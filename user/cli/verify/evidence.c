/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verify/evidence.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "cli/agent_status.h"

#define VXLAN_PORT 4789
#define DATA	   4  /* message type */
#define EMPTY_DATA 32 /* bytes of a keepalive */

/* --- input from the agent --- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct evidence_node *)a)->name,
		      ((const struct evidence_node *)b)->name);
}

struct evidence_node *evidence_find(const struct evidence *e, const char *name)
{
	const struct evidence_node key = {.name = (char *)name};

	return e->n_nodes ? bsearch(&key, e->nodes, e->n_nodes, sizeof(key), by_name) : NULL;
}

/* Sorts the nodes and removes duplicates. */
static void tidy_nodes(struct evidence *e)
{
	size_t kept = 0;

	if (e->n_nodes)
		qsort(e->nodes, e->n_nodes, sizeof(*e->nodes), by_name);
	for (size_t i = 0; i < e->n_nodes; i++) {
		if (kept && !strcmp(e->nodes[kept - 1].name, e->nodes[i].name))
			free(e->nodes[i].name);
		else
			e->nodes[kept++] = e->nodes[i];
	}
	e->n_nodes = kept;
}

static int collect_nodes(struct evidence *e, const json_t *tunnels)
{
	const json_t *t, *one;
	size_t i, k, room = 0;

	json_array_foreach (tunnels, i, t)
		room += json_array_size(json_object_get(t, "peers")) +
			json_array_size(json_object_get(t, "ranges"));
	e->nodes = calloc(room ? room : 1, sizeof(*e->nodes));
	e->endpoints = calloc(room ? room : 1, sizeof(*e->endpoints));
	e->ranges = calloc(room ? room : 1, sizeof(*e->ranges));
	if (!e->nodes || !e->endpoints || !e->ranges)
		return -ENOMEM;
	json_array_foreach (tunnels, i, t) {
		static const char *const lists[] = {"peers", "ranges"};

		for (size_t l = 0; l < 2; l++) {
			json_array_foreach (json_object_get(t, lists[l]), k, one) {
				e->nodes[e->n_nodes].name = strdup(member_text(one, "node"));
				if (!e->nodes[e->n_nodes++].name)
					return -ENOMEM;
			}
		}
	}
	tidy_nodes(e);
	return 0;
}

/* The address in "192.0.2.1:51820" or "[2001:db8::1]:51820". */
static struct cidr host_of(const char *endpoint)
{
	struct cidr c = {.family = AF_UNSPEC};
	char text[64];
	size_t len = strlen(endpoint);
	const char *colon = strrchr(endpoint, ':');

	if (!colon || len >= sizeof(text))
		return c;
	len = (size_t)(colon - endpoint);
	if (*endpoint == '[' && len > 2) {
		endpoint++;
		len -= 2;
	}
	memcpy(text, endpoint, len);
	text[len] = 0;
	if (cidr_parse_address(text, &c))
		c.family = AF_UNSPEC;
	return c;
}

static void read_tunnel(struct evidence *e, const json_t *t, size_t which)
{
	const json_t *one;
	size_t i;

	e->ports.wireguard[which] = (uint16_t)member_number(t, "port");
	json_array_foreach (json_object_get(t, "peers"), i, one) {
		struct evidence_node *n = evidence_find(e, member_text(one, "node"));
		struct cidr *where = &n->endpoints[which];

		n->peer = true;
		if (cidr_parse_address(member_text(one, "tunnelAddress"), &n->tunnel[which]))
			n->tunnel[which].family = AF_UNSPEC;
		*where = host_of(member_text(one, "endpoint"));
		if (where->family)
			e->endpoints[e->n_endpoints++] =
				(struct evidence_endpoint){*where, (size_t)(n - e->nodes)};
	}
	json_array_foreach (json_object_get(t, "ranges"), i, one) {
		struct evidence_range *r = &e->ranges[e->n_ranges];

		if (cidr_parse(member_text(one, "cidr"), &r->cidr))
			continue;
		r->node = (size_t)(evidence_find(e, member_text(one, "node")) - e->nodes);
		r->host = member_true(one, "host");
		e->lengths[r->cidr.family == AF_INET6][r->cidr.prefix_len] = 1;
		e->n_ranges++;
	}
}

static int by_range(const void *a, const void *b)
{
	return cidr_compare(&((const struct evidence_range *)a)->cidr,
			    &((const struct evidence_range *)b)->cidr);
}

static int by_address(const void *a, const void *b)
{
	return cidr_compare(&((const struct evidence_endpoint *)a)->address,
			    &((const struct evidence_endpoint *)b)->address);
}

int evidence_new(const json_t *status, struct evidence **out)
{
	const json_t *tunnels = json_object_get(status, "tunnels"), *t;
	struct evidence *e;
	size_t i;
	int err;

	if (member_number(status, "version") != 1 || json_array_size(tunnels) != 2)
		return -EPROTO;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->ports.vxlan = VXLAN_PORT;
	err = collect_nodes(e, tunnels);
	if (err) {
		evidence_free(e);
		return err;
	}
	json_array_foreach (tunnels, i, t)
		read_tunnel(e, t, i);
	if (e->n_ranges)
		qsort(e->ranges, e->n_ranges, sizeof(*e->ranges), by_range);
	if (e->n_endpoints)
		qsort(e->endpoints, e->n_endpoints, sizeof(*e->endpoints), by_address);
	*out = e;
	return 0;
}

void evidence_free(struct evidence *e)
{
	if (!e)
		return;
	for (size_t i = 0; e->nodes && i < e->n_nodes; i++)
		free(e->nodes[i].name);
	free(e->nodes);
	free(e->ranges);
	free(e->endpoints);
	free(e);
}

/* --- input from the wire --- */

/* The longest range that contains an address. */
static const struct evidence_range *range_of(const struct evidence *e, const struct cidr *address)
{
	const uint8_t *lengths = e->lengths[address->family == AF_INET6];

	for (int len = address->prefix_len; len >= 0; len--) {
		struct evidence_range key = {.cidr = *address}, *found;

		if (!lengths[len])
			continue;
		key.cidr.prefix_len = (uint8_t)len;
		key.cidr = cidr_masked(&key.cidr);
		found = bsearch(&key, e->ranges, e->n_ranges, sizeof(key), by_range);
		if (found)
			return found;
	}
	return NULL;
}

static void add_message(struct evidence *e, const struct wiretap_frame *f,
			const struct dissected_frame *s)
{
	const struct dissected_layer *l = &s->layers[0];
	const struct evidence_endpoint key = {f->outgoing ? l->destination : l->source, 0};
	const struct evidence_endpoint *found =
		bsearch(&key, e->endpoints, e->n_endpoints, sizeof(key), by_address);
	const size_t bytes = f->length > s->payload ? f->length - s->payload : 0;
	struct evidence_traffic *t;

	if (!found)
		return;
	t = f->outgoing ? &e->nodes[found->node].sent : &e->nodes[found->node].received;
	t->bytes += bytes;
	if (s->message != DATA || bytes <= EMPTY_DATA)
		t->others++;
	else
		t->data += f->segment ? (bytes + f->segment - 1) / f->segment : 1;
}

static void add_plain(struct evidence *e, const struct wiretap_frame *f,
		      const struct dissected_frame *s)
{
	for (unsigned int i = s->n_layers; i--;) {
		const struct dissected_layer *l = &s->layers[i];
		/* Check the other node's side: the destination of an outgoing packet, the source of
		 * an incoming one. */
		const struct evidence_range *r =
			range_of(e, f->outgoing ? &l->destination : &l->source);

		/* A later fragment between nodes may belong to a WireGuard message. */
		if (!r || (r->host && l->fragment))
			continue;
		if (e->only && e->only != &e->nodes[r->node])
			continue;
		e->nodes[r->node].plain++;
		e->plain++;
		if (e->n_examples < EVIDENCE_EXAMPLES)
			e->examples[e->n_examples++] =
				(struct evidence_example){&e->nodes[r->node], *l, f->outgoing};
		return;
	}
}

void evidence_add(struct evidence *e, const struct wiretap_frame *f)
{
	struct dissected_frame s;

	e->frames++;
	if (e->marked && memmem(f->data, f->captured, e->marker, sizeof(e->marker)))
		e->marker_seen++;
	dissect_frame(f->data, f->captured, &e->ports, &s);
	if (s.wireguard)
		add_message(e, f, &s);
	else
		add_plain(e, f, &s);
}

uint64_t evidence_data(const struct evidence *e)
{
	uint64_t n = 0;

	for (size_t i = 0; i < e->n_nodes; i++)
		if (!e->only || e->only == &e->nodes[i])
			n += e->nodes[i].sent.data + e->nodes[i].received.data;
	return n;
}
