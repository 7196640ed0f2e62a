/* SPDX-License-Identifier: Apache-2.0 */
#include "strict/exit_filters.h"

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
#include "programs/device_filters.h"
#include "strict/exits.h"
#include "strict/tagged_ranges.h"
#include "tunnel/tunnel.h"

#define NOTE_TICKS 4

struct exit_filters {
	struct device_filters *filters;
	int uplink;
	char tunnels[2][IF_NAMESIZE];
	struct pv_guard_settings settings;
	struct tagged_ranges have, want;
	struct exits exits;
	uint64_t displaced; /* the number at the last log line */
	unsigned int ticks;
	struct mnl_socket *socket;
	struct event *on_news;
};

/* The same ranges as in strict mode's first line. */
static int collect(struct tagged_ranges *m, const struct remote_ranges_input *in)
{
	int err = remote_ranges_collect(in, m);

	for (size_t i = 0; i < m->n; i++)
		m->all[i].kind = m->all[i].kind == RANGE_REMOTE ? PV_GUARD_REMOTE : PV_GUARD_LOCAL;
	return err;
}

/* --- ranges that were encrypted --- */

/* A range that was encrypted keeps this kind while a peer has it, also in the next process. */
static void keep_encrypted(struct exit_filters *f, const struct plan *p)
{
	for (size_t i = 0; i < p->n_ranges; i++) {
		const struct cidr *range = &p->ranges[i].cidr;
		const struct tagged_range *before = tagged_ranges_find(&f->have, range);
		struct tagged_range *now = tagged_ranges_find(&f->want, range);

		if (p->ranges[i].peer != PLAN_NO_PEER && now && now->kind == PV_GUARD_REMOTE &&
		    before && before->kind == PV_GUARD_ENCRYPTED)
			now->kind = PV_GUARD_ENCRYPTED;
	}
}

static void keep_all_encrypted(struct exit_filters *f, const struct remote_ranges_input *in)
{
	for (size_t i = 0; i < in->n_plans; i++)
		if (i ? in->settings->enabled6 : in->settings->enabled4)
			keep_encrypted(f, &in->plans[i]);
}

static int set_kind(struct exit_filters *f, struct tagged_range *m, enum pv_guard_kind kind)
{
	int err = m->kind == kind ? 0 : device_filters_set_range(f->filters, &m->range, kind);

	if (!err)
		m->kind = kind;
	return err;
}

/* Call it before the tunnels are switched off: plaintext is no leak afterwards. */
static int forget_encrypted(struct exit_filters *f)
{
	int err = 0;

	for (size_t i = 0; i < f->have.n && !err; i++)
		if (f->have.all[i].kind == PV_GUARD_ENCRYPTED)
			err = set_kind(f, &f->have.all[i], PV_GUARD_REMOTE);
	return err;
}

static void note_range(void *context, const struct cidr *range)
{
	struct exit_filters *f = context;
	struct tagged_range *m = tagged_ranges_find(&f->have, range);
	int err = m && m->kind == PV_GUARD_REMOTE ? set_kind(f, m, PV_GUARD_ENCRYPTED) : 0;

	if (err)
		log_warn(
			"the guard could not mark a range as encrypted: a leak there counts as plain before encryption",
			"errno=%d error=\"%s\"", -err, strerror(-err));
}

void exit_filters_note_encrypted(struct exit_filters *f, struct tunnel *const *tunnels, size_t n)
{
	/* Not each time: there may be thousands of ranges. */
	if (!f->filters || ++f->ticks % NOTE_TICKS)
		return;
	for (size_t i = 0; i < n; i++)
		tunnel_each_encrypted(tunnels[i], note_range, f);
}

/* --- taking over --- */

static void visit_range(const struct cidr *range, enum pv_guard_kind kind, void *context)
{
	tagged_ranges_add(context, range, kind);
}

static int take_over(struct exit_filters *f)
{
	int err = device_filters_new(&f->filters);

	if (err)
		return err;
	f->have.n = 0;
	err = device_filters_each_range(f->filters, visit_range, &f->have);
	tagged_ranges_sort(&f->have, PV_GUARD_LOCAL);
	return err;
}

/* --- the exits --- */

static int find_exits(struct exit_filters *f)
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

static int attach_to_exits(struct exit_filters *f)
{
	struct filter_device *devices = calloc(f->exits.n + 1, sizeof(*devices));
	int err;

	if (!devices)
		return -ENOMEM;
	for (size_t i = 0; i < f->exits.n; i++)
		devices[i] = f->exits.all[i].is;
	err = device_filters_attach(f->filters, devices, f->exits.n);
	free(devices);
	return err;
}

/* Call it when devices or addresses have changed. */
static int follow_devices(struct exit_filters *f)
{
	const struct pv_guard_settings before = f->settings;
	int err = find_exits(f);

	if (!err)
		err = attach_to_exits(f);
	if (!err && memcmp(&before, &f->settings, sizeof(before)) != 0)
		err = device_filters_write_settings(f->filters, &f->settings);
	return err ? err : device_filters_detach_others(f->filters);
}

static void on_news(evutil_socket_t fd, short what, void *context)
{
	struct exit_filters *f = context;
	char buffer[8192];
	int err;

	(void)what;
	/* After an overrun (ENOBUFS), everything is read again, too. */
	while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0 || errno == ENOBUFS ||
	       errno == EINTR)
		errno = 0;
	err = f->filters && f->uplink ? follow_devices(f) : 0;
	if (err)
		log_warn("the guard could not be attached after the node's devices changed",
			 "errno=%d error=\"%s\"", -err, strerror(-err));
}

/* --- applying, removing the old --- */

static int set_ranges(struct exit_filters *f)
{
	for (size_t i = 0; i < f->want.n; i++) {
		const struct tagged_range *m = &f->want.all[i];
		const enum pv_guard_kind kind = (enum pv_guard_kind)m->kind;
		struct tagged_range *before = tagged_ranges_find(&f->have, &m->range);
		int err = before ? set_kind(f, before, kind)
				 : device_filters_set_range(f->filters, &m->range, kind);

		if (err)
			return err;
	}
	return 0;
}

int exit_filters_apply(struct exit_filters *f, int uplink, const struct remote_ranges_input *in)
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
		err = f->filters ? forget_encrypted(f) : 0;
		return f->filters && !err ? device_filters_write_settings(f->filters, &f->settings)
					  : err;
	}
	memcpy(f->tunnels[0], s->interface4, sizeof(f->tunnels[0]));
	memcpy(f->tunnels[1], s->interface6, sizeof(f->tunnels[1]));
	err = collect(&f->want, in);
	if (!err)
		err = find_exits(f);
	if (!err && !f->filters)
		err = take_over(f);
	if (!err)
		keep_all_encrypted(f, in);
	if (!err)
		err = set_ranges(f);
	if (!err)
		err = attach_to_exits(f);
	/* Strict mode last: first the ranges must be right. */
	return err ? err : device_filters_write_settings(f->filters, &f->settings);
}

int exit_filters_remove_old(struct exit_filters *f)
{
	struct tagged_ranges swap;
	int err;

	if (!f->filters)
		return 0;
	if (!f->uplink) {
		device_filters_free(f->filters, true);
		f->filters = NULL;
		f->have.n = 0;
		return 0;
	}
	err = device_filters_detach_others(f->filters);
	for (size_t i = 0; i < f->have.n && !err; i++)
		if (!tagged_ranges_find(&f->want, &f->have.all[i].range))
			err = device_filters_unset_range(f->filters, &f->have.all[i].range);
	swap = f->have;
	f->have = f->want;
	f->want = swap;
	/* find_exits() uses f->want until the next apply. */
	f->want.n = 0;
	for (size_t i = 0; i < f->have.n && !err; i++)
		err = tagged_ranges_add(&f->want, &f->have.all[i].range, f->have.all[i].kind);
	return err;
}

/* --- repair --- */

static void log_displaced(struct exit_filters *f)
{
	const uint64_t now = f->filters ? device_filters_displaced(f->filters) : 0;

	for (size_t i = 0; now > f->displaced && i < exit_filters_count(f); i++) {
		const struct exit_filter_state e = exit_filter_state(f, i);

		if (*e.before)
			log_warn(
				"a filter of another program ran before the guard's: the guard's is first again",
				"device=%s filter=%s method=%s", e.name, e.before,
				exit_filters_method(f));
	}
	f->displaced = now;
}

int exit_filters_repair(struct exit_filters *f)
{
	int repaired = f->filters && f->uplink ? device_filters_repair(f->filters) : 0;

	log_displaced(f);
	return repaired;
}

/* --- state --- */

bool exit_filters_in_place(const struct exit_filters *f)
{
	if (!f->filters || !f->uplink || !f->exits.n)
		return false;
	for (size_t i = 0; i < f->exits.n; i++)
		if (!exit_filter_state(f, i).in_place)
			return false;
	return true;
}

size_t exit_filters_count(const struct exit_filters *f)
{
	return f->filters && f->uplink ? f->exits.n : 0;
}

struct exit_filter_state exit_filter_state(const struct exit_filters *f, size_t i)
{
	const struct exit_device *d = &f->exits.all[i];

	for (size_t k = 0; k < device_filters_count(f->filters); k++) {
		const struct filter_state s = device_filters_state(f->filters, k);

		if (s.ifindex == d->is.ifindex)
			return (struct exit_filter_state){d->name, s.in_place, s.before};
	}
	return (struct exit_filter_state){d->name, false, ""};
}

const char *exit_filters_method(const struct exit_filters *f)
{
	return f->filters ? device_filters_method(f->filters) : "";
}

uint64_t exit_filters_displaced(const struct exit_filters *f)
{
	return f->filters ? device_filters_displaced(f->filters) : 0;
}

void exit_filters_counters(const struct exit_filters *f, struct pv_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	if (f->filters)
		device_filters_counters(f->filters, sum);
}

/* --- creating and freeing --- */

int exit_filters_new(struct event_base *base, struct exit_filters **out)
{
	static const int groups[] = {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR};
	struct exit_filters *f = calloc(1, sizeof(*f));
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
		exit_filters_free(f, false);
	else
		*out = f;
	return err;
}

void exit_filters_free(struct exit_filters *f, bool remove)
{
	if (!f)
		return;
	if (f->on_news)
		event_free(f->on_news);
	if (f->socket)
		mnl_socket_close(f->socket);
	if (remove)
		device_filters_cleanup();
	device_filters_free(f->filters, false);
	exits_fini(&f->exits);
	tagged_ranges_fini(&f->have);
	tagged_ranges_fini(&f->want);
	free(f);
}

int exit_filters_cleanup(void)
{
	return device_filters_cleanup();
}

static void list_device(void *context, const char *device)
{
	fprintf(context, "guard on %s\n", device);
}

void exit_filters_list(FILE *out)
{
	device_filters_each_device(list_device, out);
}
