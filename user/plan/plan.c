/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/plan.h"

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

const struct record_endpoint *plan_record_endpoint(const struct node_record *r, int family)
{
	return family == AF_INET ? &r->endpoint4 : &r->endpoint6;
}

/* The address of a node's tunnel device. With host encryption: the node's own address. Otherwise
 * the tunnel address of its record; without one, if tunnel addresses are not assigned, the first
 * address of its first pod range. AF_UNSPEC: none. */
static struct cidr tunnel_address(const struct node_record *r, int family, bool host_encryption)
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

/* The address of our own device. Where pods have single addresses, none is the tunnel's: then it
 * has the node's, because the kernel removes all routes of a device with its last address. */
static struct cidr own_address(const struct node_record *r, int family, bool host_encryption)
{
	const struct cidr a = tunnel_address(r, family, host_encryption);

	return a.family || r->source != ROUTE_SOURCE_WORKLOAD_IPS ? a : *address_of(r, family);
}

/* --- ranges --- */

/* Of several equal ranges, the one with the lowest rank counts. */
static int rank(const struct plan_range *r)
{
	return r->owner == PLAN_SELF	 ? 0
	       : r->peer != PLAN_NO_PEER ? 1
	       : r->host		 ? 2
	       : r->closed		 ? 3
					 : 4;
}

static int by_range(const void *a, const void *b)
{
	const struct plan_range *x = a, *y = b;
	int order = cidr_compare(&x->cidr, &y->cidr);

	if (!order)
		order = rank(x) - rank(y);
	return order ? order : strcmp(x->name, y->name);
}

static bool covered(const struct node_record *r, const struct cidr *address)
{
	for (size_t i = 0; i < r->n_pod_cidrs; i++)
		if (cidr_contains(&r->pod_cidrs[i], address))
			return true;
	return false;
}

/* Collects all ranges of a node in this family. */
static void collect(const struct plan_input *in, size_t i, const char *name, size_t peer,
		    struct plan *p)
{
	const struct node_record *r = in->nodes[i].record;
	const bool host_refused = in->nodes[i].host_refused[in->family == AF_INET6];
	const enum plan_owner owner = strcmp(r->name, in->self) ? PLAN_OTHER : PLAN_SELF;
	const struct plan_range base = {
		.name = name,
		.owner = owner,
		.peer = peer,
		.closed = peer == PLAN_NO_PEER && in->nodes[i].closed[in->family == AF_INET6],
	};
	struct plan_range *to = p->ranges + p->n_ranges;
	const struct cidr tunnel = tunnel_address(r, in->family, false);
	const struct cidr *host = address_of(r, in->family);

	for (size_t k = 0; k < r->n_pod_cidrs; k++) {
		if (r->pod_cidrs[k].family != in->family)
			continue;
		*to = base;
		to++->cidr = r->pod_cidrs[k];
	}
	if (tunnel.family && !covered(r, &tunnel)) {
		*to = base;
		to++->cidr = tunnel;
	}
	if (in->settings->host_encryption && host->family && owner == PLAN_OTHER &&
	    peer != PLAN_NO_PEER && !host_refused) {
		*to = base;
		to->host = true;
		to++->cidr = *host;
	}
	p->n_ranges = (size_t)(to - p->ranges);
}

static void collect_contested(const struct plan_input *in, char *name, struct plan *p)
{
	for (size_t i = 0; i < in->n_contested; i++) {
		if (in->contested[i].cidr.family != in->family)
			continue;
		strcpy(name, in->contested[i].name);
		p->ranges[p->n_ranges++] = (struct plan_range){
			.cidr = in->contested[i].cidr,
			.name = name,
			.owner = PLAN_OTHER,
			.peer = PLAN_NO_PEER,
			.closed = in->contested[i].closed,
		};
		name += strlen(name) + 1;
	}
}

static bool is_closed(const struct plan_input *in, const struct cidr *address)
{
	for (size_t i = 0; i < in->n_contested; i++)
		if (in->contested[i].closed && cidr_contains(&in->contested[i].cidr, address))
			return true;
	return false;
}

/* Nodes stay reachable, even if their address is in a closed range. */
static void except_nodes(const struct plan_input *in, const char *name, struct plan *p)
{
	for (size_t i = 0; i < in->n_nodes; i++, name += strlen(name) + 1) {
		const struct cidr *host = address_of(in->nodes[i].record, in->family);

		if (host->family && is_closed(in, host))
			p->ranges[p->n_ranges++] = (struct plan_range){
				.cidr = *host,
				.name = name,
				.owner = PLAN_OTHER,
				.peer = PLAN_NO_PEER,
				.host = true,
			};
	}
}

/* Sorts the ranges and removes duplicates. */
static void sort_ranges(struct plan *p)
{
	size_t kept = 0;

	if (p->n_ranges)
		qsort(p->ranges, p->n_ranges, sizeof(*p->ranges), by_range);
	for (size_t i = 0; i < p->n_ranges; i++)
		if (!kept || cidr_compare(&p->ranges[kept - 1].cidr, &p->ranges[i].cidr))
			p->ranges[kept++] = p->ranges[i];
	p->n_ranges = kept;
}

struct endpoint plan_endpoint(const struct cidr *address, uint16_t port)
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

/* A peer's allowed IPs are the ranges that it got. */
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

/* Nodes with a key and an address are peers, except ourselves. `peers`: for each node the index of
 * its peer. */
static void find_peers(const struct plan_input *in, struct plan *p, size_t *peers)
{
	char *name = p->names;

	for (size_t i = 0; i < in->n_nodes; i++, name += strlen(name) + 1) {
		const struct node_record *r = in->nodes[i].record;
		const struct cidr *address = address_of(r, in->family);
		const uint16_t port = in->family == AF_INET ? r->port4 : r->port6;
		const bool elsewhere = in->endpoints && *plan_record_endpoint(r, in->family)->host;

		strcpy(name, r->name);
		peers[i] = PLAN_NO_PEER;
		if (!strcmp(r->name, in->self)) {
			p->address = own_address(r, in->family, in->settings->host_encryption);
			continue;
		}
		/* A node that shares another's key is not a peer of its own: the other's peer has
		 * its ranges. */
		if (in->nodes[i].peer[in->family == AF_INET6] != i || !address->family ||
		    sodium_is_zero(plan_key(r, in->family), 32))
			continue;
		peers[i] = p->n_peers++;
		p->peers[peers[i]] = (struct plan_peer){
			.node = r,
			.name = name,
			.tunnel = tunnel_address(r, in->family, in->settings->host_encryption),
			.endpoint = elsewhere ? in->endpoints[i]
					      : plan_endpoint(address, port ? port : p->port),
		};
	}
}

static int make_room(const struct plan_input *in, struct plan *p)
{
	size_t room = in->n_contested + in->n_nodes + 1, letters = 1;

	for (size_t i = 0; i < in->n_nodes; i++) {
		room += in->nodes[i].record->n_pod_cidrs + 2;
		letters += strlen(in->nodes[i].record->name) + 1;
	}
	for (size_t i = 0; i < in->n_contested; i++)
		letters += strlen(in->contested[i].name) + 1;
	p->names = calloc(1, letters);
	p->peers = calloc(in->n_nodes ? in->n_nodes : 1, sizeof(*p->peers));
	p->ranges = calloc(room, sizeof(*p->ranges));
	return p->names && p->peers && p->ranges ? 0 : -ENOMEM;
}

int plan_make(const struct plan_input *in, struct plan *out)
{
	struct plan p = {
		.port = in->family == AF_INET ? in->settings->port4 : in->settings->port6,
	};
	size_t *peers = calloc(in->n_nodes ? in->n_nodes : 1, sizeof(*peers));
	char *name;
	int err = peers ? make_room(in, &p) : -ENOMEM;

	if (err)
		goto out;
	find_peers(in, &p, peers);
	name = p.names;
	for (size_t i = 0; i < in->n_nodes; i++, name += strlen(name) + 1)
		collect(in, i, name, peers[in->nodes[i].peer[in->family == AF_INET6]], &p);
	collect_contested(in, name, &p);
	except_nodes(in, p.names, &p);
	sort_ranges(&p);
	err = allow(&p);
out:
	free(peers);
	if (err)
		plan_fini(&p);
	else
		*out = p;
	return err;
}

static int by_peer_name(const void *name, const void *peer)
{
	return strcmp(name, ((const struct plan_peer *)peer)->name);
}

const struct plan_peer *plan_find_peer(const struct plan *p, const char *name)
{
	return p->n_peers ? bsearch(name, p->peers, p->n_peers, sizeof(*p->peers), by_peer_name)
			  : NULL;
}

uint32_t plan_largest_mtu(const struct plan *p)
{
	uint32_t largest = 0;

	for (size_t i = 0; i < p->n_peers; i++)
		if (p->peers[i].path.mtu > largest)
			largest = p->peers[i].path.mtu;
	return largest;
}

void plan_fini(struct plan *p)
{
	for (size_t i = 0; i < p->n_peers; i++)
		free(p->peers[i].allowed);
	free(p->peers);
	free(p->ranges);
	free(p->names);
	memset(p, 0, sizeof(*p));
}
