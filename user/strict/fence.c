/* SPDX-License-Identifier: Apache-2.0 */
#include "strict/fence.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "netlink/route.h"
#include "netlink/rtnl.h"
#include "programs/guard.h"
#include "strict/exits.h"
#include "strict/marks.h"
#include "strict/remote_ranges.h"
#include "tunnel/tunnel.h"

#define NOTE_TICKS 4

struct fence {
	struct guard *guard;
	int uplink;
	char tunnels[2][IF_NAMESIZE];
	struct pv_guard_settings settings;
	struct marks have, want;
	struct exits exits;
	uint64_t displaced; /* as logged */
	unsigned int ticks;
	struct mnl_socket *socket;
	struct event *on_news;
};

/* As strict mode's first line sees them, too. */
static int collect(struct marks *m, const struct fence_input *in)
{
	int err = remote_ranges_collect(in->settings, in->plans, in->n_plans, in->nodes,
					in->n_nodes, m);

	for (size_t i = 0; i < m->n; i++)
		m->all[i].kind = m->all[i].kind == RANGE_REMOTE ? PV_GUARD_REMOTE : PV_GUARD_LOCAL;
	return err;
}

/* --- where encryption stood --- */

/* A range where it stood stays so while it belongs to a peer, also from one process to the next. */
static void keep_encrypted(struct fence *f, const struct plan *p)
{
	for (size_t i = 0; i < p->n_ranges; i++) {
		const struct cidr *range = &p->ranges[i].cidr;
		const struct mark *before = marks_find(&f->have, range);
		struct mark *now = marks_find(&f->want, range);

		if (p->ranges[i].peer != PLAN_NO_PEER && now && now->kind == PV_GUARD_REMOTE &&
		    before && before->kind == PV_GUARD_ENCRYPTED)
			now->kind = PV_GUARD_ENCRYPTED;
	}
}

static void keep_all_encrypted(struct fence *f, const struct fence_input *in)
{
	for (size_t i = 0; i < in->n_plans; i++)
		if (i ? in->settings->enabled6 : in->settings->enabled4)
			keep_encrypted(f, &in->plans[i]);
}

static int set_kind(struct fence *f, struct mark *m, enum pv_guard_kind kind)
{
	int err = m->kind == kind ? 0 : guard_set(f->guard, &m->range, kind);

	if (!err)
		m->kind = kind;
	return err;
}

/* Before the tunnels fall: what goes in plain from then on does so by design. */
static int forget_encrypted(struct fence *f)
{
	int err = 0;

	for (size_t i = 0; i < f->have.n && !err; i++)
		if (f->have.all[i].kind == PV_GUARD_ENCRYPTED)
			err = set_kind(f, &f->have.all[i], PV_GUARD_REMOTE);
	return err;
}

static void note_range(void *context, const struct cidr *range)
{
	struct fence *f = context;
	struct mark *m = marks_find(&f->have, range);
	int err = m && m->kind == PV_GUARD_REMOTE ? set_kind(f, m, PV_GUARD_ENCRYPTED) : 0;

	if (err)
		log_warn("a leak would be counted as plain before encryption",
			 "errno=%d error=\"%s\"", -err, strerror(-err));
}

void fence_note_encrypted(struct fence *f, struct tunnel *const *tunnels, size_t n)
{
	/* There may be thousands of ranges, and nothing new. */
	if (!f->guard || ++f->ticks % NOTE_TICKS)
		return;
	for (size_t i = 0; i < n; i++)
		tunnel_each_encrypted(tunnels[i], note_range, f);
}

/* --- building --- */

static void see(const struct cidr *range, enum pv_guard_kind kind, void *context)
{
	marks_add(context, range, kind);
}

static int build(struct fence *f)
{
	int err = guard_new(&f->guard);

	if (err)
		return err;
	f->have.n = 0;
	err = guard_each(f->guard, see, &f->have);
	marks_sort(&f->have, PV_GUARD_LOCAL);
	return err;
}

/* --- the exits --- */

static int find_exits(struct fence *f)
{
	const struct exits_input in = {
		.uplink = f->uplink,
		.strict = f->settings.strict,
		.tunnels = {f->tunnels[0], f->tunnels[1]},
		.ranges = &f->want,
	};
	int err = exits_find(&f->exits, &in);

	if (err)
		return err;
	memcpy(f->settings.vxlan_ports, f->exits.vxlan_ports, sizeof(f->exits.vxlan_ports));
	memcpy(f->settings.geneve_ports, f->exits.geneve_ports, sizeof(f->exits.geneve_ports));
	return 0;
}

static int guard_exits(struct fence *f)
{
	struct guard_device *devices = calloc(f->exits.n + 1, sizeof(*devices));
	int err;

	if (!devices)
		return -ENOMEM;
	for (size_t i = 0; i < f->exits.n; i++)
		devices[i] = f->exits.all[i].is;
	err = guard_cover(f->guard, devices, f->exits.n);
	free(devices);
	return err;
}

/* Devices or addresses came or went. */
static int follow(struct fence *f)
{
	const struct pv_guard_settings before = f->settings;
	int err = find_exits(f);

	if (!err)
		err = guard_exits(f);
	if (!err && memcmp(&before, &f->settings, sizeof(before)) != 0)
		err = guard_settings(f->guard, &f->settings);
	return err ? err : guard_leave_others(f->guard);
}

static void on_news(evutil_socket_t fd, short what, void *context)
{
	struct fence *f = context;
	char buffer[8192];
	int err;

	(void)what;
	/* An overrun is news like any other: everything is read anew. */
	while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0 || errno == ENOBUFS ||
	       errno == EINTR)
		errno = 0;
	err = f->guard && f->uplink ? follow(f) : 0;
	if (err)
		log_warn("the guard could not follow the node's devices", "errno=%d error=\"%s\"",
			 -err, strerror(-err));
}

/* --- raising and settling --- */

static int set_ranges(struct fence *f)
{
	for (size_t i = 0; i < f->want.n; i++) {
		const struct mark *m = &f->want.all[i];
		const enum pv_guard_kind kind = (enum pv_guard_kind)m->kind;
		struct mark *before = marks_find(&f->have, &m->range);
		int err = before ? set_kind(f, before, kind) : guard_set(f->guard, &m->range, kind);

		if (err)
			return err;
	}
	return 0;
}

int fence_raise(struct fence *f, int uplink, const struct fence_input *in)
{
	const struct settings *s = in->settings;
	int err;

	f->uplink = uplink;
	f->settings = (struct pv_guard_settings){
		.fwmark = RULE_MARK,
		.port4 = s->enabled4 ? s->port4 : 0,
		.port6 = s->enabled6 ? s->port6 : 0,
		.strict = s->strict && uplink,
		.mark_ingress = s->host_encryption && uplink,
	};
	if (!uplink) {
		f->want.n = 0;
		err = f->guard ? forget_encrypted(f) : 0;
		return f->guard && !err ? guard_settings(f->guard, &f->settings) : err;
	}
	memcpy(f->tunnels[0], s->interface4, sizeof(f->tunnels[0]));
	memcpy(f->tunnels[1], s->interface6, sizeof(f->tunnels[1]));
	err = collect(&f->want, in);
	if (!err)
		err = find_exits(f);
	if (!err && !f->guard)
		err = build(f);
	if (!err)
		keep_all_encrypted(f, in);
	if (!err)
		err = set_ranges(f);
	if (!err)
		err = guard_exits(f);
	/* Strictness comes after the ranges that say whose pods are whose. */
	return err ? err : guard_settings(f->guard, &f->settings);
}

int fence_settle(struct fence *f)
{
	struct marks swap;
	int err;

	if (!f->guard)
		return 0;
	if (!f->uplink) {
		guard_free(f->guard, true);
		f->guard = NULL;
		f->have.n = 0;
		return 0;
	}
	err = guard_leave_others(f->guard);
	for (size_t i = 0; i < f->have.n && !err; i++)
		if (!marks_find(&f->want, &f->have.all[i].range))
			err = guard_unset(f->guard, &f->have.all[i].range);
	swap = f->have;
	f->have = f->want;
	f->want = swap;
	/* Exits are found by them until the next time. */
	f->want.n = 0;
	for (size_t i = 0; i < f->have.n && !err; i++)
		err = marks_add(&f->want, &f->have.all[i].range, f->have.all[i].kind);
	return err;
}

/* --- what others do to it --- */

static void log_displaced(struct fence *f)
{
	const uint64_t now = f->guard ? guard_displaced(f->guard) : 0;

	for (size_t i = 0; now > f->displaced && i < fence_n_exits(f); i++) {
		const struct fence_exit e = fence_exit(f, i);

		if (*e.before)
			log_warn("somebody's filter ran before the guard's, which is first again",
				 "device=%s filter=%s method=%s", e.name, e.before,
				 fence_method(f));
	}
	f->displaced = now;
}

int fence_mend(struct fence *f)
{
	int mended = f->guard && f->uplink ? guard_mend(f->guard) : 0;

	log_displaced(f);
	return mended;
}

/* --- how it stands --- */

bool fence_stands(const struct fence *f)
{
	if (!f->guard || !f->uplink || !f->exits.n)
		return false;
	for (size_t i = 0; i < f->exits.n; i++)
		if (!fence_exit(f, i).stands)
			return false;
	return true;
}

size_t fence_n_exits(const struct fence *f)
{
	return f->guard && f->uplink ? f->exits.n : 0;
}

struct fence_exit fence_exit(const struct fence *f, size_t i)
{
	const struct exit_device *d = &f->exits.all[i];

	for (size_t k = 0; k < guard_n_devices(f->guard); k++) {
		const struct guard_state s = guard_device_state(f->guard, k);

		if (s.ifindex == d->is.ifindex)
			return (struct fence_exit){d->name, s.stands, s.before};
	}
	return (struct fence_exit){d->name, false, ""};
}

const char *fence_method(const struct fence *f)
{
	return f->guard ? guard_method(f->guard) : "";
}

uint64_t fence_displaced(const struct fence *f)
{
	return f->guard ? guard_displaced(f->guard) : 0;
}

void fence_counters(const struct fence *f, struct pv_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	if (f->guard)
		guard_counters(f->guard, sum);
}

/* --- making and freeing --- */

int fence_new(struct event_base *base, struct fence **out)
{
	static const int groups[] = {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR};
	struct fence *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return -ENOMEM;
	err = rtnl_listen(groups, sizeof(groups) / sizeof(*groups), &f->socket);
	if (!err) {
		f->on_news = event_new(base, mnl_socket_get_fd(f->socket), EV_READ | EV_PERSIST,
				       on_news, f);
		err = f->on_news && !event_add(f->on_news, NULL) ? 0 : -ENOMEM;
	}
	if (err)
		fence_free(f, false);
	else
		*out = f;
	return err;
}

void fence_free(struct fence *f, bool remove)
{
	if (!f)
		return;
	if (f->on_news)
		event_free(f->on_news);
	if (f->socket)
		mnl_socket_close(f->socket);
	if (remove)
		guard_cleanup();
	guard_free(f->guard, false);
	exits_fini(&f->exits);
	marks_fini(&f->have);
	marks_fini(&f->want);
	free(f);
}

int fence_cleanup(void)
{
	return guard_cleanup();
}

static void list_device(void *context, const char *device)
{
	fprintf(context, "guard on %s\n", device);
}

void fence_list(FILE *out)
{
	guard_devices(list_device, out);
}
