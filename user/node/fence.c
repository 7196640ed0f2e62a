/* SPDX-License-Identifier: Apache-2.0 */
#include "node/fence.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "bpf/guard.h"
#include "netlink/route.h"
#include "node/marks.h"

#define VXLAN_PORT 4789

struct fence {
	struct guard *guard;
	int uplink;
	struct pv_guard_settings settings;
	struct marks have, want;
};

/* Our own ranges, those of others, and in strict mode those that might be others'. */
static int collect(struct marks *m, const struct settings *s, const struct plan *plans,
		   size_t n_plans)
{
	int err = 0;

	m->n = 0;
	for (size_t i = 0; i < s->n_strict_cidrs && !err; i++)
		err = marks_add(m, &s->strict_cidrs[i], PV_GUARD_REMOTE);
	for (size_t k = 0; k < n_plans; k++)
		for (size_t i = 0; i < plans[k].n_ranges && !err; i++) {
			const struct plan_range *r = &plans[k].ranges[i];

			/* Between nodes there is more than pods' traffic. */
			if (!r->host)
				err = marks_add(m, &r->cidr,
						r->owner == PLAN_SELF ? PV_GUARD_LOCAL
								      : PV_GUARD_REMOTE);
		}
	/* Of two that mark the same range, the one for our own pods counts. */
	marks_sort(m, PV_GUARD_LOCAL);
	return err;
}

static void see(const struct cidr *range, enum pv_guard_kind kind, void *context)
{
	marks_add(context, range, kind);
}

static int build(struct fence *f, int uplink)
{
	int err = guard_new(uplink, &f->settings, &f->guard);

	if (err)
		return err;
	f->uplink = uplink;
	f->have.n = 0;
	err = guard_each(f->guard, see, &f->have);
	marks_sort(&f->have, PV_GUARD_LOCAL);
	return err;
}

int fence_raise(struct fence *f, int uplink, const struct settings *s, const struct plan *plans,
		size_t n_plans)
{
	int err;

	f->settings = (struct pv_guard_settings){
		.fwmark = RULE_MARK,
		.fwmark_mask = RULE_MARK,
		.port4 = s->enabled4 ? s->port4 : 0,
		.port6 = s->enabled6 ? s->port6 : 0,
		.vxlan_port = VXLAN_PORT,
		.strict = s->strict && uplink,
		.mark_ingress = s->host_encryption && uplink,
	};
	if (!uplink) {
		f->want.n = 0;
		f->uplink = 0;
		return f->guard ? guard_settings(f->guard, &f->settings) : 0;
	}
	err = collect(&f->want, s, plans, n_plans);
	if (err)
		return err;
	if (f->guard && f->uplink && f->uplink != uplink) {
		guard_free(f->guard, true);
		f->guard = NULL;
	}
	if (!f->guard)
		err = build(f, uplink);
	f->uplink = uplink;
	for (size_t i = 0; i < f->want.n && !err; i++)
		if (!marks_have(&f->have, &f->want.all[i]))
			err = guard_set(f->guard, &f->want.all[i].range,
					(enum pv_guard_kind)f->want.all[i].kind);
	/* Strictness comes after the ranges that say whose pods are whose. */
	if (!err)
		err = guard_settings(f->guard, &f->settings);
	return err;
}

int fence_settle(struct fence *f)
{
	struct marks swap;
	int err = 0;

	if (!f->guard)
		return 0;
	if (!f->uplink) {
		guard_free(f->guard, true);
		f->guard = NULL;
		f->have.n = 0;
		return 0;
	}
	for (size_t i = 0; i < f->have.n && !err; i++)
		if (!marks_find(&f->want, &f->have.all[i].range))
			err = guard_unset(f->guard, &f->have.all[i].range);
	swap = f->have;
	f->have = f->want;
	f->want = swap;
	return err;
}

int fence_mend(struct fence *f)
{
	return f->guard ? guard_mend(f->guard) : 0;
}

bool fence_stands(const struct fence *f)
{
	return f->guard;
}

void fence_counters(const struct fence *f, struct pv_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	if (f->guard)
		guard_counters(f->guard, sum);
}

struct fence *fence_new(void)
{
	return calloc(1, sizeof(struct fence));
}

void fence_free(struct fence *f, bool remove)
{
	if (!f)
		return;
	guard_free(f->guard, remove);
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
