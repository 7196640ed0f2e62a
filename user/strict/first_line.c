/* SPDX-License-Identifier: Apache-2.0 */
#include "strict/first_line.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "netlink/lookup_rule.h"
#include "netlink/route.h"

static const int families[] = {AF_INET, AF_INET6};
#define N_FAMILIES (sizeof(families) / sizeof(*families))

struct first_line {
	bool wanted, routing;
	bool by_settings_alone; /* the filter comes from first_line_apply_settings() */
	uint32_t priority;
	struct tagged_ranges routes; /* wanted, reduced */
	struct ip_filter *filter;
};

/* --- routes --- */

static enum route_kind kind_of(const struct tagged_range *m)
{
	return m->kind == RANGE_REMOTE ? ROUTE_UNREACHABLE : ROUTE_THROW;
}

struct existing {
	struct tagged_ranges found_ranges;
	int err;
};

static void visit_route(void *context, const struct route *r)
{
	struct existing *t = context;

	if (r->kind != ROUTE_UNREACHABLE && r->kind != ROUTE_THROW)
		return;
	if (tagged_ranges_add(&t->found_ranges, &r->to,
			      r->kind == ROUTE_UNREACHABLE ? RANGE_REMOTE : RANGE_HERE))
		t->err = -ENOMEM;
}

static int read_routes(int family, struct existing *t)
{
	int err;

	t->found_ranges.n = 0;
	t->err = 0;
	err = route_each(family, FIRST_LINE_TABLE, 0, visit_route, t);
	tagged_ranges_sort(&t->found_ranges, RANGE_HERE);
	return err ? err : t->err;
}

static int change_route(const struct tagged_range *m, bool add)
{
	const struct route r = {.to = m->range, .kind = kind_of(m)};
	int err = add ? route_set(FIRST_LINE_TABLE, 0, &r) : route_delete(FIRST_LINE_TABLE, 0, &r);
	char text[CIDR_TEXT];

	/* No such route: it is deleted already. A kernel without IPv6 needs no route. */
	if (err == -EAFNOSUPPORT || err == -EOPNOTSUPP || (err == -ESRCH && !add))
		return 0;
	if (err)
		log_error("a route of strict mode could not be set",
			  "to=%s table=%u errno=%d error=\"%s\"",
			  cidr_format(&m->range, false, text), FIRST_LINE_TABLE, -err,
			  strerror(-err));
	return err;
}

/* Adds our own ranges first (and removes them last), so that they never become unreachable. */
static int add_routes(int family, const struct tagged_ranges *want,
		      const struct tagged_ranges *have, int *done)
{
	static const unsigned int order[] = {RANGE_HERE, RANGE_REMOTE};
	int first = 0;

	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < want->n; i++) {
			const struct tagged_range *m = &want->all[i];
			int err;

			if (m->range.family != family || m->kind != order[k] ||
			    tagged_ranges_contain(have, m))
				continue;
			err = change_route(m, true);
			*done += !err;
			first = first ? first : err;
		}
	return first;
}

static int remove_routes(const struct tagged_ranges *want, const struct tagged_ranges *have,
			 int *done)
{
	static const unsigned int order[] = {RANGE_REMOTE, RANGE_HERE};
	int first = 0;

	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < have->n; i++) {
			const struct tagged_range *m = &have->all[i];
			int err;

			if (m->kind != order[k] || tagged_ranges_find(want, &m->range))
				continue;
			err = change_route(m, false);
			*done += !err;
			first = first ? first : err;
		}
	return first;
}

/* --- the rule --- */

static bool has_family(const struct tagged_ranges *m, int family)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->all[i].range.family == family)
			return true;
	return false;
}

static bool has_priority(const struct lookup_rules *r, uint32_t priority)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->priorities[i] == priority)
			return true;
	return false;
}

static bool behind(const struct lookup_rules *r, uint32_t priority)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->priorities[i] > priority)
			return true;
	return false;
}

/* Adds the wanted rule (priority 0: none) before it deletes others. `settle`: the tunnels' rule has
 * moved already. Before that, our rule must not move forward: it would come before the tunnels'
 * rule. */
static int set_rule(int family, uint32_t priority, bool settle, int *done)
{
	struct lookup_rules existing = {.n = 0};
	int err = lookup_rules_find(family, FIRST_LINE_TABLE, &existing);
	bool first = true;

	if (!err && priority && !settle && behind(&existing, priority))
		return 0;
	if (!err && priority && !has_priority(&existing, priority)) {
		err = lookup_rule_add(family, priority, FIRST_LINE_TABLE);
		*done += !err;
	}
	for (size_t i = 0; i < existing.n && !err; i++) {
		/* Keep one of several equal rules. */
		if (existing.priorities[i] == priority && first) {
			first = false;
			continue;
		}
		err = lookup_rule_delete(family, existing.priorities[i], FIRST_LINE_TABLE);
		*done += !err;
	}
	if (err)
		log_error("the routing rule of strict mode could not be set",
			  "priority=%u table=%u errno=%d error=\"%s\"", priority, FIRST_LINE_TABLE,
			  -err, strerror(-err));
	return err;
}

/* --- routes and rule --- */

static uint32_t priority_for(const struct tagged_ranges *want, uint32_t priority, int family)
{
	return has_family(want, family) ? priority : 0;
}

/* Adds the routes before the rule that leads to them, and deletes the rule before the routes. */
static int set_routing(const struct tagged_ranges *want, uint32_t priority, bool remove,
		       bool settled, int *done)
{
	struct existing have = {.err = 0};
	int first = 0;

	for (size_t i = 0; i < N_FAMILIES; i++) {
		const int family = families[i];
		const uint32_t rule = priority_for(want, priority, family);
		int err = read_routes(family, &have);

		if (!err)
			err = add_routes(family, want, &have.found_ranges, done);
		if (!err && (rule || remove))
			err = set_rule(family, rule, settled, done);
		if (!err && remove)
			err = remove_routes(want, &have.found_ranges, done);
		first = first ? first : err;
	}
	tagged_ranges_fini(&have.found_ranges);
	return first;
}

static bool is_wanted(const struct settings *s)
{
	return s->strict && (s->enabled4 || s->enabled6);
}

static int set_filter(struct first_line *f, const struct settings *s,
		      const struct tagged_ranges *ranges)
{
	struct ip_filter_want want = {
		.ranges = ranges,
		.drop_marked = s->host_encryption && (s->enabled4 || s->enabled6),
	};
	int err;

	memcpy(want.tunnel4, s->interface4, sizeof(want.tunnel4));
	memcpy(want.tunnel6, s->interface6, sizeof(want.tunnel6));
	err = ip_filter_apply(f->filter, &want);
	if (err)
		log_error("the nftables table podveil could not be set",
			  "errno=%d error=\"%s\" needs=\"nf_tables in the kernel, and "
			  "CAP_NET_ADMIN\"",
			  -err, strerror(-err));
	return err;
}

/* A range with our own address also holds other nodes. They are unknown before the store is read,
 * and the store may be on one of them. */
static bool holds_nodes(const struct cidr *range, const struct node_record *self)
{
	return (self->address4.family && cidr_contains(range, &self->address4)) ||
	       (self->address6.family && cidr_contains(range, &self->address6));
}

int first_line_apply_settings(struct first_line *f, const struct settings *s,
			      const struct node_record *self)
{
	struct tagged_ranges ranges = {NULL, 0, 0};
	int err = 0, filter_err = 0, done = 0;

	if (!is_wanted(s))
		return 0;
	for (size_t i = 0; i < s->strict_cidrs.n && !err; i++)
		if (!holds_nodes(&s->strict_cidrs.all[i], self))
			err = tagged_ranges_add(&ranges, &s->strict_cidrs.all[i], RANGE_REMOTE);
	for (size_t i = 0; i < s->strict_exceptions.n && !err; i++)
		err = tagged_ranges_add(&ranges, &s->strict_exceptions.all[i], RANGE_HERE);
	for (size_t i = 0; i < self->n_pod_cidrs && !err; i++)
		err = tagged_ranges_add(&ranges, &self->pod_cidrs[i], RANGE_HERE);
	tagged_ranges_sort(&ranges, RANGE_HERE);
	/* Keep the filter of an earlier agent: it knows more ranges. */
	if (!err && (f->by_settings_alone || !ip_filter_exists())) {
		filter_err = set_filter(f, s, &ranges);
		f->by_settings_alone = true;
	}
	remote_ranges_reduce(&ranges);
	if (!err)
		err = set_routing(&ranges, s->rule_priority + 1, false, false, &done);
	f->wanted = true;
	f->routing = !err;
	tagged_ranges_fini(&ranges);
	return err ? err : filter_err;
}

int first_line_apply(struct first_line *f, const struct remote_ranges_input *in)
{
	const struct settings *s = in->settings;
	struct tagged_ranges ranges = {NULL, 0, 0};
	int err = 0, filter_err = 0, done = 0;

	f->wanted = is_wanted(s);
	f->priority = s->rule_priority + 1;
	if (f->wanted)
		err = remote_ranges_collect(in, &ranges);
	if (!err)
		filter_err = set_filter(f, s, f->wanted ? &ranges : NULL);
	if (!err) {
		remote_ranges_reduce(&ranges);
		tagged_ranges_fini(&f->routes);
		f->routes = ranges;
		err = set_routing(&f->routes, f->priority, true, false, &done);
	} else {
		tagged_ranges_fini(&ranges);
	}
	f->routing = f->wanted && !err;
	return err ? err : filter_err;
}

int first_line_remove_old(struct first_line *f)
{
	int err = ip_filter_remove_old(f->filter), done = 0;

	for (size_t i = 0; i < N_FAMILIES && f->wanted; i++) {
		const uint32_t priority = priority_for(&f->routes, f->priority, families[i]);
		const int failed = set_rule(families[i], priority, true, &done);

		err = err ? err : failed;
	}
	return err;
}

int first_line_repair(struct first_line *f, bool network)
{
	int repaired = 0, err = 0, filter = ip_filter_repair(f->filter);

	if (network && f->wanted) {
		err = set_routing(&f->routes, f->priority, true, true, &repaired);
		f->routing = !err;
	}
	if (err || filter < 0)
		return err ? err : filter;
	return repaired + filter;
}

struct first_line_state first_line_get_state(const struct first_line *f)
{
	return (struct first_line_state){
		.wanted = f->wanted,
		.routing = f->routing,
		.ip_filter = f->wanted && ip_filter_in_place(f->filter),
		.dropped = ip_filter_drops(f->filter),
	};
}

struct first_line *first_line_new(void)
{
	struct first_line *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->filter = ip_filter_new();
	if (!f->filter) {
		free(f);
		return NULL;
	}
	return f;
}

void first_line_free(struct first_line *f)
{
	if (!f)
		return;
	ip_filter_free(f->filter);
	tagged_ranges_fini(&f->routes);
	free(f);
}

bool first_line_exists(void)
{
	struct lookup_rules rules = {.n = 0};

	for (size_t i = 0; i < N_FAMILIES; i++)
		if (!lookup_rules_find(families[i], FIRST_LINE_TABLE, &rules) && rules.n)
			return true;
	return ip_filter_exists();
}

int first_line_cleanup(void)
{
	const struct tagged_ranges nothing = {NULL, 0, 0};
	int done = 0, err = set_routing(&nothing, 0, true, true, &done),
	    filter = ip_filter_remove();

	return err ? err : filter;
}
