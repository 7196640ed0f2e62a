/* SPDX-License-Identifier: Apache-2.0 */
#include "node/plan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

const uint8_t *plan_key(const struct node_record *r, int family)
{
	return family == AF_INET ? r->key4 : r->key6;
}

static const struct cidr *address_of(const struct node_record *r, int family)
{
	return family == AF_INET ? &r->address4 : &r->address6;
}

struct cidr plan_tunnel_address(const struct node_record *r, int family, bool host_encryption)
{
	struct cidr a = {.family = AF_UNSPEC};

	if (host_encryption)
		return *address_of(r, family);
	a = family == AF_INET ? r->tunnel4 : r->tunnel6;
	if (r->tunnels_assigned)
		return a;
	for (size_t i = 0; i < r->n_pod_cidrs && a.family == AF_UNSPEC; i++) {
		if (r->pod_cidrs[i].family != family)
			continue;
		a = r->pod_cidrs[i];
		a.prefix_len = family == AF_INET ? 32 : 128;
	}
	return a;
}

/* --- keys --- */

struct claim {
	const uint8_t *key;
	size_t node;
};

static int by_key(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	int order = memcmp(x->key, y->key, 32);

	return order ? order : (x->node > y->node) - (x->node < y->node);
}

static int add_conflict(struct plan *p, const struct node_record *one,
			const struct node_record *other, const struct cidr *range)
{
	struct plan_conflict *more =
		realloc(p->conflicts, (p->n_conflicts + 1) * sizeof(*p->conflicts));

	if (!more)
		return -ENOMEM;
	p->conflicts = more;
	p->conflicts[p->n_conflicts++] = (struct plan_conflict){
		.one = one,
		.other = other,
		.range = range ? *range : (struct cidr){.family = AF_UNSPEC},
	};
	return 0;
}

/* Which nodes have a key that nobody else claims. Ourselves count with the key that we have,
 * whatever our record says. */
static int find_keys(const struct plan_input *in, struct plan *p, bool *usable)
{
	struct claim *claims = calloc(in->n_nodes ? in->n_nodes : 1, sizeof(*claims));
	size_t n = 0;
	int err = 0;

	if (!claims)
		return -ENOMEM;
	for (size_t i = 0; i < in->n_nodes; i++) {
		const bool self = !strcmp(in->nodes[i]->name, in->self);
		const uint8_t *key =
			self && in->own_key ? in->own_key : plan_key(in->nodes[i], in->family);

		if (!sodium_is_zero(key, 32))
			claims[n++] = (struct claim){.key = key, .node = i};
	}
	qsort(claims, n, sizeof(*claims), by_key);
	for (size_t i = 0, next; i < n && !err; i = next) {
		for (next = i + 1; next < n && !memcmp(claims[i].key, claims[next].key, 32); next++)
			;
		if (next == i + 1)
			usable[claims[i].node] = true;
		for (size_t k = i + 1; k < next && !err; k++)
			err = add_conflict(p, in->nodes[claims[i].node], in->nodes[claims[k].node],
					   NULL);
	}
	free(claims);
	return err;
}

/* --- ranges --- */

static int by_range(const void *a, const void *b)
{
	const struct plan_range *x = a, *y = b;
	int order = cidr_compare(&x->cidr, &y->cidr);

	if (order)
		return order;
	if (x->owner != y->owner)
		return x->owner == PLAN_SELF ? -1 : 1;
	return strcmp(x->node->name, y->node->name);
}

static bool covered(const struct node_record *r, const struct cidr *address)
{
	for (size_t i = 0; i < r->n_pod_cidrs; i++)
		if (cidr_contains(&r->pod_cidrs[i], address))
			return true;
	return false;
}

/* All that a node has in this family. */
static void collect(const struct plan_input *in, const struct node_record *r, const char *name,
		    size_t peer, struct plan *p)
{
	const enum plan_owner owner = strcmp(r->name, in->self) ? PLAN_OTHER : PLAN_SELF;
	const struct plan_range base = {.node = r, .name = name, .owner = owner, .peer = peer};
	struct plan_range *to = p->ranges + p->n_ranges;
	const struct cidr tunnel = plan_tunnel_address(r, in->family, false);
	const struct cidr *host = address_of(r, in->family);

	for (size_t i = 0; i < r->n_pod_cidrs; i++) {
		if (r->pod_cidrs[i].family != in->family)
			continue;
		*to = base;
		to++->cidr = r->pod_cidrs[i];
	}
	if (tunnel.family && !covered(r, &tunnel)) {
		*to = base;
		to++->cidr = tunnel;
	}
	if (in->settings->host_encryption && host->family && owner == PLAN_OTHER &&
	    peer != PLAN_NO_PEER) {
		*to = base;
		to->host = true;
		to++->cidr = *host;
	}
	p->n_ranges = (size_t)(to - p->ranges);
}

/* Each range once: the first claim stays. */
static int settle(struct plan *p)
{
	size_t kept = 0;
	int err = 0;

	qsort(p->ranges, p->n_ranges, sizeof(*p->ranges), by_range);
	for (size_t i = 0; i < p->n_ranges && !err; i++) {
		struct plan_range *last = kept ? &p->ranges[kept - 1] : NULL;

		if (!last || cidr_compare(&last->cidr, &p->ranges[i].cidr))
			p->ranges[kept++] = p->ranges[i];
		else if (last->node != p->ranges[i].node)
			err = add_conflict(p, last->node, p->ranges[i].node, &last->cidr);
	}
	p->n_ranges = kept;
	return err;
}

static struct endpoint endpoint_at(const struct cidr *address, uint16_t port)
{
	struct endpoint e = {0};

	if (address->family == AF_INET) {
		e.to.v4.sin_family = AF_INET;
		e.to.v4.sin_port = htons(port);
		memcpy(&e.to.v4.sin_addr, address->address, 4);
	} else {
		e.to.v6.sin6_family = AF_INET6;
		e.to.v6.sin6_port = htons(port);
		memcpy(&e.to.v6.sin6_addr, address->address, 16);
	}
	return e;
}

/* Allowed IPs are the ranges that a peer won. */
static int allow(struct plan *p)
{
	for (size_t i = 0; i < p->n_ranges; i++)
		if (p->ranges[i].peer != PLAN_NO_PEER)
			p->peers[p->ranges[i].peer].n_allowed++;
	for (size_t i = 0; i < p->n_peers; i++) {
		struct plan_peer *peer = &p->peers[i];

		peer->allowed =
			calloc(peer->n_allowed ? peer->n_allowed : 1, sizeof(*peer->allowed));
		if (!peer->allowed)
			return -ENOMEM;
		peer->n_allowed = 0;
	}
	for (size_t i = 0; i < p->n_ranges; i++) {
		const struct plan_range *r = &p->ranges[i];

		if (r->peer != PLAN_NO_PEER)
			p->peers[r->peer].allowed[p->peers[r->peer].n_allowed++] = r->cidr;
	}
	return 0;
}

int plan_make(const struct plan_input *in, struct plan *out)
{
	struct plan p = {
		.port = in->family == AF_INET ? in->settings->port4 : in->settings->port6,
	};
	bool *usable = calloc(in->n_nodes ? in->n_nodes : 1, sizeof(*usable));
	size_t room = 0, letters = 1;
	char *name;
	int err = -ENOMEM;

	for (size_t i = 0; i < in->n_nodes; i++) {
		room += in->nodes[i]->n_pod_cidrs + 2;
		letters += strlen(in->nodes[i]->name) + 1;
	}
	p.names = name = malloc(letters);
	p.peers = calloc(in->n_nodes ? in->n_nodes : 1, sizeof(*p.peers));
	p.ranges = calloc(room ? room : 1, sizeof(*p.ranges));
	if (!usable || !p.peers || !p.ranges || !p.names)
		goto out;
	err = find_keys(in, &p, usable);
	if (err)
		goto out;
	for (size_t i = 0; i < in->n_nodes; i++) {
		const struct node_record *r = in->nodes[i];
		const struct cidr *address = address_of(r, in->family);
		const uint16_t port = in->family == AF_INET ? r->port4 : r->port6;
		size_t peer = PLAN_NO_PEER;

		strcpy(name, r->name);
		if (!strcmp(r->name, in->self)) {
			p.address =
				plan_tunnel_address(r, in->family, in->settings->host_encryption);
		} else if (usable[i] && address->family) {
			peer = p.n_peers++;
			p.peers[peer] = (struct plan_peer){
				.node = r,
				.name = name,
				.tunnel = plan_tunnel_address(r, in->family,
							      in->settings->host_encryption),
				.endpoint = endpoint_at(address, port ? port : p.port),
			};
		}
		collect(in, r, name, peer, &p);
		name += strlen(name) + 1;
	}
	err = settle(&p);
	if (!err)
		err = allow(&p);
out:
	free(usable);
	if (err)
		plan_fini(&p);
	else
		*out = p;
	return err;
}

void plan_fini(struct plan *p)
{
	for (size_t i = 0; i < p->n_peers; i++)
		free(p->peers[i].allowed);
	free(p->peers);
	free(p->ranges);
	free(p->conflicts);
	free(p->names);
	memset(p, 0, sizeof(*p));
}
