/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/network.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/log.h"
#include "netlink/our_routes.h"
#include "tunnel/pair.h"

struct routes {
	struct route *all; /* sorted */
	size_t n, room;
};

struct network {
	int family;
	struct network_want want; /* routes: own copy */
	bool applied;
	struct routes have;   /* now in want.table, through want.ifindex */
	struct routes before; /* an earlier agent's, in all tables; until the first apply */
};

/* A backup may have the same range as another route. Two other routes may not. */
static int compare_routes(const struct route *a, const struct route *b)
{
	int order = cidr_compare(&a->to, &b->to);

	return order ? order : (a->kind == ROUTE_BACKUP) - (b->kind == ROUTE_BACKUP);
}

static int by_route_order(const void *a, const void *b)
{
	return compare_routes(a, b);
}

static bool same(const struct route *a, const struct route *b)
{
	return a->kind == b->kind && a->mtu == b->mtu && !cidr_compare(&a->source, &b->source);
}

static void append_route(void *context, const struct route *r)
{
	struct routes *to = context;

	if (ARRAY_GROW(to->all, to->n, to->room))
		return; /* the route is unknown then, and is set once more: harmless */
	to->all[to->n++] = *r;
}

static int read_routes(int family, uint32_t table, int ifindex, struct routes *out)
{
	int err;

	out->n = 0;
	err = route_each(family, table, ifindex, append_route, out);
	if (out->n)
		qsort(out->all, out->n, sizeof(*out->all), by_route_order);
	return err;
}

static void report(int err, const char *what, const struct cidr *to)
{
	char text[CIDR_TEXT];

	log_warn("network state could not be set", "what=\"%s\" to=%s errno=%d error=\"%s\"", what,
		 to ? cidr_format(to, false, text) : "-", -err, strerror(-err));
}

struct outcome {
	int done, err;
};

static void record_outcome(struct outcome *o, int err, const char *what, const struct cidr *to)
{
	if (!err) {
		o->done++;
		return;
	}
	report(err, what, to);
	if (!o->err)
		o->err = err;
}

/* --- routes --- */

/* The changes to make: pointers into the wanted routes (set), and into the present ones
 * (removed). */
struct changes {
	const struct route **set, **removed;
	size_t n_set, n_removed;
};

static int changes_init(struct changes *c, const struct network *n)
{
	*c = (struct changes){
		.set = calloc(n->want.n_routes + 1, sizeof(*c->set)),
		.removed = calloc(n->have.n + 1, sizeof(*c->removed)),
	};
	return c->set && c->removed ? 0 : -ENOMEM;
}

static void changes_fini(struct changes *c)
{
	free(c->set);
	free(c->removed);
}

/* Walks over both sorted lists together. Sets the wanted routes that are missing or differ; removes
 * the present ones that are not wanted. */
static void compare(const struct network_want *want, const struct routes *have, struct changes *c)
{
	size_t w = 0, h = 0;

	while (w < want->n_routes || h < have->n) {
		const int order = w == want->n_routes ? 1
				  : h == have->n      ? -1
						 : compare_routes(&want->routes[w], &have->all[h]);

		if (order < 0 || (!order && !same(&want->routes[w], &have->all[h])))
			c->set[c->n_set++] = &want->routes[w];
		if (order > 0)
			c->removed[c->n_removed++] = &have->all[h];
		w += order <= 0;
		h += order >= 0;
	}
}

/* Does a wider route lead this range into the tunnel now? The narrowest one around it decides. */
static bool is_carried(const struct routes *have, const bool lengths[129], const struct cidr *range)
{
	for (int length = range->prefix_len - 1; length >= 0 && have->n; length--) {
		struct route key = {.to = *range, .kind = ROUTE_DEVICE};
		const struct route *r;

		if (!lengths[length])
			continue;
		key.to.prefix_len = (uint8_t)length;
		key.to = cidr_masked(&key.to);
		r = bsearch(&key, have->all, have->n, sizeof(key), by_route_order);
		if (r)
			return r->kind == ROUTE_DEVICE;
	}
	return false;
}

enum turn { TURN_BACKUPS, TURN_ROUTES, TURN_BACKUPS_OF_CARRIED };

/* A backup comes before its route: if the device disappears, nothing leaves in plain. But within a
 * wider route it comes after: before its own route is there it would drop what the wider one
 * carries, and that one has a backup, too. */
static void set_routes(struct network *n, const struct changes *c, struct outcome *o)
{
	bool lengths[129] = {false};

	for (size_t i = 0; i < n->have.n; i++)
		lengths[n->have.all[i].to.prefix_len] = true;
	for (enum turn turn = TURN_BACKUPS; turn <= TURN_BACKUPS_OF_CARRIED; turn++)
		for (size_t i = 0; i < c->n_set; i++) {
			const struct route *r = c->set[i];
			const enum turn its = r->kind != ROUTE_BACKUP ? TURN_ROUTES
					      : is_carried(&n->have, lengths, &r->to)
						      ? TURN_BACKUPS_OF_CARRIED
						      : TURN_BACKUPS;

			if (its == turn)
				record_outcome(o, route_set(n->want.table, n->want.ifindex, r),
					       "route", &r->to);
		}
}

static void remove_routes(struct network *n, const struct changes *c, bool backups,
			  struct outcome *o)
{
	for (size_t i = 0; i < c->n_removed; i++) {
		const struct route *r = c->removed[i];
		int err;

		if ((r->kind == ROUTE_BACKUP) != backups)
			continue;
		err = route_delete(n->want.table, n->want.ifindex, r);
		/* The kernel has removed it together with its device. */
		record_outcome(o, err == -ESRCH || err == -ENODEV ? 0 : err, "route", &r->to);
	}
}

/* Backups are removed before their routes: alone they would drop packets. */
static void change_routes(struct network *n, struct outcome *o)
{
	struct changes c;

	if (changes_init(&c, n)) {
		record_outcome(o, -ENOMEM, "routes", NULL);
	} else {
		compare(&n->want, &n->have, &c);
		set_routes(n, &c, o);
		remove_routes(n, &c, true, o);
		remove_routes(n, &c, false, o);
	}
	changes_fini(&c);
}

/* Records what the kernel has now: the wanted routes, or after an error what the kernel lists. */
static void record_applied(struct network *n, int err)
{
	if (!err) {
		n->have.n = 0;
		for (size_t i = 0; i < n->want.n_routes; i++)
			append_route(&n->have, &n->want.routes[i]);
	} else {
		read_routes(n->family, n->want.table, n->want.ifindex, &n->have);
	}
}

/* --- addresses --- */

struct address_search {
	const struct cidr *wanted;
	bool there;
};

static void visit_address(void *context, const struct cidr *a)
{
	struct address_search *s = context;

	s->there |= !cidr_compare(s->wanted, a);
}

static void add_address(struct network *n, struct outcome *o)
{
	struct address_search s = {.wanted = &n->want.address};
	int err;

	if (!n->want.address.family || !n->want.ifindex)
		return;
	err = address_each(n->family, n->want.ifindex, visit_address, &s);
	if (!err && s.there)
		return;
	record_outcome(o, address_add(n->want.ifindex, &n->want.address), "address",
		       &n->want.address);
}

struct unwanted {
	const struct cidr *wanted;
	struct cidr found[16];
	size_t n;
};

static void visit_unwanted(void *context, const struct cidr *a)
{
	struct unwanted *u = context;

	if (cidr_compare(u->wanted, a) && u->n < sizeof(u->found) / sizeof(*u->found))
		u->found[u->n++] = *a;
}

void network_forget_addresses(struct network *n, int ifindex)
{
	struct unwanted u = {.wanted = &n->want.address};

	address_each(n->family, ifindex, visit_unwanted, &u);
	for (size_t i = 0; i < u.n; i++)
		address_delete(ifindex, &u.found[i]);
}

/* --- the whole --- */

static void change_rule(struct network *n, bool add, struct outcome *o)
{
	bool there;
	int err = rule_find(n->family, n->want.priority, n->want.table, &there);

	if (!err && there == add)
		return;
	if (!err)
		err = add ? rule_add(n->family, n->want.priority, n->want.table)
			  : rule_delete(n->family, n->want.priority, n->want.table);
	record_outcome(o, err, "rule", NULL);
}

static struct outcome enforce(struct network *n)
{
	struct outcome o = {0, 0};

	if (!n->want.rule)
		change_rule(n, false, &o);
	add_address(n, &o);
	change_routes(n, &o);
	if (n->want.rule)
		change_rule(n, true, &o);
	record_applied(n, o.err);
	return o;
}

/* Removes rule and routes of the old table. The new ones are in place. */
static void remove_old_table(struct network *n, uint32_t priority, uint32_t table, bool routes)
{
	struct routes old = {NULL, 0, 0};

	rule_delete(n->family, priority, table);
	if (routes && !read_routes(n->family, table, n->want.ifindex, &old))
		for (size_t i = 0; i < old.n; i++)
			route_delete(table, n->want.ifindex, &old.all[i]);
	free(old.all);
}

int network_apply(struct network *n, struct network_want *want)
{
	const struct network_want old = n->want;
	const bool moved =
		n->applied && (old.table != want->table || old.priority != want->priority);
	struct outcome o;

	n->before.n = 0;
	if (want->n_routes)
		qsort(want->routes, want->n_routes, sizeof(*want->routes), by_route_order);
	n->want = *want;
	*want = (struct network_want){.ifindex = 0};
	if (!n->applied || old.ifindex != n->want.ifindex || old.table != n->want.table)
		read_routes(n->family, n->want.table, n->want.ifindex, &n->have);
	n->applied = true;
	o = enforce(n);
	if (moved && old.rule)
		remove_old_table(n, old.priority, old.table, old.table != n->want.table);
	/* The old address comes last, when no route uses it as its source any more. */
	if (old.address.family && old.ifindex == n->want.ifindex && old.ifindex &&
	    cidr_compare(&old.address, &n->want.address)) {
		address_delete(old.ifindex, &old.address);
		/* The kernel removes all routes of a device with its last IPv4 address. Their
		 * backups drop what they would carry, until they are back. */
		if (!n->want.address.family &&
		    !read_routes(n->family, n->want.table, n->want.ifindex, &n->have))
			o = enforce(n);
	}
	free(old.routes);
	return o.err;
}

int network_repair(struct network *n)
{
	struct outcome o;
	int err;

	if (!n->applied)
		return 0;
	err = read_routes(n->family, n->want.table, n->want.ifindex, &n->have);
	if (err)
		return err;
	o = enforce(n);
	return o.err ? o.err : o.done;
}

int network_adopt(struct network *n, int ifindex, uint32_t table)
{
	int err;

	n->want.ifindex = ifindex;
	n->want.table = table;
	err = read_routes(n->family, 0, ifindex, &n->before);
	return err ? err : read_routes(n->family, table, ifindex, &n->have);
}

static bool has_backup(const struct routes *r, const struct cidr *to)
{
	const struct route wanted = {.to = *to, .kind = ROUTE_BACKUP};

	return r->n && bsearch(&wanted, r->all, r->n, sizeof(*r->all), by_route_order);
}

bool network_had_route(const struct network *n, const struct cidr *to)
{
	return has_backup(&n->have, to) || has_backup(&n->before, to);
}

void network_clear(struct network *n)
{
	struct network_want nothing = n->want;

	if (!n->applied)
		return;
	nothing.rule = false;
	nothing.routes = NULL;
	nothing.n_routes = 0;
	network_apply(n, &nothing);
	n->applied = false;
}

struct network *network_new(int family)
{
	struct network *n = calloc(1, sizeof(*n));

	if (n)
		n->family = family;
	return n;
}

void network_free(struct network *n)
{
	if (!n)
		return;
	free(n->want.routes);
	free(n->have.all);
	free(n->before.all);
	free(n);
}

static int by_range(const void *a, const void *b)
{
	const struct our_route *x = a, *y = b;
	const int order = cidr_compare(&x->to, &y->to);

	return order ? order : (x->table > y->table) - (x->table < y->table);
}

/* Does route i have a backup, which drops packets? `all` is sorted by range. */
static bool has_blackhole(const struct our_route *all, size_t n, size_t i)
{
	size_t first = i;

	while (first && !by_range(&all[first - 1], &all[i]))
		first--;
	for (; first < n && !by_range(&all[first], &all[i]); first++)
		if (all[first].type == RTN_BLACKHOLE)
			return true;
	return false;
}

void network_release_hosts(int family)
{
	const int device = pair_tunnel(family);
	struct our_route *all = NULL;
	size_t n = 0;

	if (!device || our_routes(family, device, &all, &n))
		n = 0;
	if (n)
		qsort(all, n, sizeof(*all), by_range);
	for (size_t i = 0; i < n; i++)
		if (all[i].ifindex == device && all[i].type == RTN_UNICAST &&
		    !has_blackhole(all, n, i))
			our_route_delete(&all[i]);
	free(all);
}
