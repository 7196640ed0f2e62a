/* SPDX-License-Identifier: Apache-2.0 */
#include "node/entry.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/entry.h"
#include "device/device.h"
#include "netlink/link.h"
#include "node/marks.h"
#include "observe/log.h"

struct indexes {
	int *all;
	size_t n, room;
};

struct entry {
	int family;
	struct settings settings;      /* of which the patterns count */
	struct entry_program *program; /* NULL: off */
	int uplink;
	struct marks have; /* of kind enum pv_entry_way */
	struct indexes attached;
	const char *problem;
	bool warned; /* that a device does not take it */
};

bool entry_matches(const struct settings *s, const char *interface)
{
	for (size_t i = 0; i < s->n_entry_interfaces; i++)
		if (!fnmatch(s->entry_interfaces[i], interface, 0))
			return true;
	return false;
}

/* --- devices --- */

static void add_index(struct indexes *to, int ifindex)
{
	if (to->n == to->room) {
		const size_t room = to->room ? to->room * 2 : 64;
		int *more = realloc(to->all, room * sizeof(*more));

		if (!more)
			return; /* the next look finds it again */
		to->all = more;
		to->room = room;
	}
	to->all[to->n++] = ifindex;
}

static bool has_index(const struct indexes *in, int ifindex)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->all[i] == ifindex)
			return true;
	return false;
}

/* A pod's end of a veth pair is in another network namespace; so may an uplink's be in a container.
 */
static bool leads_to_pod(const struct link_info *l)
{
	return !strcmp(l->kind, "veth") && l->peer_elsewhere;
}

struct search {
	const struct entry *entry; /* NULL: all that lead to pods */
	struct indexes found;
};

static void see_link(void *context, const struct link_info *l)
{
	struct search *s = context;

	if (leads_to_pod(l) && (!s->entry || (l->ifindex != s->entry->uplink &&
					      entry_matches(&s->entry->settings, l->name))))
		add_index(&s->found, l->ifindex);
}

static void detach_all(struct entry *e)
{
	for (size_t i = 0; i < e->attached.n; i++)
		entry_program_detach(e->family, e->attached.all[i]);
	e->attached.n = 0;
}

void entry_follow(struct entry *e, int uplink)
{
	struct search s = {.entry = e};
	struct indexes before = e->attached;
	bool failed = false;

	if (!e->program)
		return;
	if (uplink)
		e->uplink = uplink;
	entry_program_repin(e->program);
	if (link_each(see_link, &s)) {
		free(s.found.all);
		return;
	}
	e->attached = (struct indexes){NULL, 0, 0};
	for (size_t i = 0; i < s.found.n; i++) {
		const int err = entry_program_attach(e->program, s.found.all[i]);

		if (err >= 0)
			add_index(&e->attached, s.found.all[i]);
		/* Gone meanwhile is no news. */
		if (err >= 0 || err == -ENODEV)
			continue;
		failed = true;
		if (!e->warned)
			log_warn("a device does not take the fast path on entry; its packets are "
				 "routed",
				 "ifindex=%d errno=%d error=\"%s\"", s.found.all[i], -err,
				 strerror(-err));
	}
	e->warned = failed;
	for (size_t i = 0; i < before.n; i++)
		if (!has_index(&s.found, before.all[i]))
			entry_program_detach(e->family, before.all[i]);
	if (e->attached.n != before.n)
		log_debug("fast path on entry", "family=%s interfaces=%zu",
			  e->family == AF_INET ? "ipv4" : "ipv6", e->attached.n);
	free(before.all);
	free(s.found.all);
}

void entry_sweep(int family)
{
	struct search s = {.entry = NULL};

	if (!link_each(see_link, &s))
		for (size_t i = 0; i < s.found.n; i++)
			entry_program_detach(family, s.found.all[i]);
	free(s.found.all);
}

/* --- ways --- */

/* Pods' ranges are those whose routes have a backup. A node's own address is left to routing, which
 * may forget it while no agent runs (network_release_hosts()). */
static int take(struct marks *out, const struct route *routes, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = marks_add(out, &routes[i].to,
				routes[i].kind == ROUTE_BACKUP ? PV_ENTRY_TUNNEL
							       : PV_ENTRY_ROUTING);
	marks_sort(out, PV_ENTRY_TUNNEL);
	return err;
}

/* Sets what is wanted this way and was not. */
static int set_new(struct entry *e, const struct marks *want, enum pv_entry_way way)
{
	int err = 0;

	for (size_t i = 0; i < want->n && !err; i++)
		if (want->all[i].kind == way && !marks_have(&e->have, &want->all[i]))
			err = entry_program_set(e->program, &want->all[i].range, way);
	return err;
}

/* Forgets what led this way and is not wanted at all. */
static int unset_old(struct entry *e, const struct marks *want, enum pv_entry_way way)
{
	int err = 0;

	for (size_t i = 0; i < e->have.n && !err; i++)
		if (e->have.all[i].kind == way && !marks_find(want, &e->have.all[i].range))
			err = entry_program_unset(e->program, &e->have.all[i].range);
	return err;
}

/* An exception stands before the range that it is one of does, and longer. */
static int change(struct entry *e, const struct marks *want)
{
	int err = set_new(e, want, PV_ENTRY_ROUTING);

	if (!err)
		err = set_new(e, want, PV_ENTRY_TUNNEL);
	if (!err)
		err = unset_old(e, want, PV_ENTRY_TUNNEL);
	return err ? err : unset_old(e, want, PV_ENTRY_ROUTING);
}

static void give_up(struct entry *e, const char *problem, int err)
{
	if (!e->problem)
		log_warn("no fast path on entry, packets are routed",
			 "problem=\"%s\" errno=%d error=\"%s\"", problem, -err, strerror(-err));
	entry_stop(e, true);
	e->problem = problem;
}

void entry_routes(struct entry *e, const struct route *routes, size_t n)
{
	struct marks want = {.all = NULL};
	int err;

	if (!e->program)
		return;
	err = take(&want, routes, n);
	if (!err)
		err = change(e, &want);
	marks_fini(&e->have);
	e->have = want;
	/* Nobody knows what it leads to now. */
	if (err)
		give_up(e, "its ranges cannot be set", err);
}

/* --- on and off --- */

void entry_prepare(struct entry *e, struct device *d, const struct settings *s)
{
	int err;

	e->settings = *s;
	if (!s->n_entry_interfaces) {
		entry_stop(e, true);
		e->problem = NULL;
		return;
	}
	if (e->program)
		return;
	err = device_entry(d, e->family, &e->program);
	if (err == -ENOTSUP)
		give_up(e, "it needs superpackets, so Linux 6.9 or later", err);
	else if (err)
		give_up(e, "its program cannot be loaded", err);
	else
		e->problem = NULL;
}

void entry_stop(struct entry *e, bool detach)
{
	if (detach)
		detach_all(e);
	e->attached.n = 0;
	entry_program_free(e->program, detach);
	e->program = NULL;
	marks_fini(&e->have);
}

struct entry_view entry_look(const struct entry *e)
{
	return (struct entry_view){e->program, e->attached.n, e->problem};
}

struct entry *entry_new(int family)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (e)
		e->family = family;
	return e;
}

void entry_free(struct entry *e)
{
	if (!e)
		return;
	entry_stop(e, false);
	free(e->attached.all);
	free(e);
}
