/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/guard.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/clsact.h"
#include "bpf/guard_programs.h"
#include "bpf/libbpf_log.h"
#include "bpf/pins.h"
#include "bpf/program_id.h"
#include "bpf/ranges.h"
#include "guard.skel.h"
#include "netlink/link.h"

#define PIN_NAME    "guard"
#define TC_HANDLE   0x7076 /* "pv" */
#define TC_PRIORITY 1

struct guard {
	struct guard_skeleton *skeleton;
	int uplink;
	struct pv_guard_settings settings;
	char pins[PATH_MAX]; /* empty: none */
};

static const struct side {
	enum bpf_tc_attach_point point;
	const char *program;
} sides[] = {{BPF_TC_EGRESS, "guard"}, {BPF_TC_INGRESS, "shield"}};

#define N_SIDES (sizeof(sides) / sizeof(*sides))

int guard_program_fd(const struct guard *g)
{
	return bpf_program__fd(g->skeleton->progs.guard);
}

int shield_program_fd(const struct guard *g)
{
	return bpf_program__fd(g->skeleton->progs.shield);
}

static int program_fd(const struct guard *g, size_t side)
{
	return side ? shield_program_fd(g) : guard_program_fd(g);
}

/* --- attaching --- */

static int query(int uplink, size_t side, struct bpf_tc_opts *opts)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = uplink, .attach_point = sides[side].point);

	opts->handle = TC_HANDLE;
	opts->priority = TC_PRIORITY;
	return bpf_tc_query(&hook, opts);
}

static bool attached(const struct guard *g, size_t side)
{
	LIBBPF_OPTS(bpf_tc_opts, opts);

	return !query(g->uplink, side, &opts) && opts.prog_id == program_id(program_fd(g, side));
}

static int attach(struct guard *g, size_t side)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = g->uplink,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = program_fd(g, side), .handle = TC_HANDLE,
		    .priority = TC_PRIORITY, .flags = BPF_TC_F_REPLACE);
	int err = bpf_tc_hook_create(&hook);

	if (err && err != -EEXIST)
		return err;
	if (!err) {
		g->settings.made_clsact = 1;
		err = guard_settings(g, &g->settings);
		if (err)
			return err;
	}
	hook.attach_point = sides[side].point;
	return bpf_tc_attach(&hook, &opts);
}

int guard_mend(struct guard *g)
{
	int mended = 0, err;

	for (size_t i = 0; i < N_SIDES; i++) {
		if (attached(g, i))
			continue;
		err = attach(g, i);
		if (err)
			return err;
		mended++;
	}
	err = pins_mend(g->skeleton->obj, g->pins);
	return err < 0 ? err : mended + err;
}

/* --- detaching --- */

/* Is it ours that is attached there? */
static bool is_ours(int uplink, size_t side)
{
	LIBBPF_OPTS(bpf_tc_opts, opts);
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);
	bool same;
	int fd;

	if (query(uplink, side, &opts))
		return false;
	fd = bpf_prog_get_fd_by_id(opts.prog_id);
	if (fd < 0)
		return false;
	same = !bpf_obj_get_info_by_fd(fd, &info, &len) && !strcmp(info.name, sides[side].program);
	close(fd);
	return same;
}

static int detach(int uplink, size_t side)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = uplink, .attach_point = sides[side].point);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	return is_ours(uplink, side) ? bpf_tc_detach(&hook, &opts) : 0;
}

static int remove_all(int uplink, bool made_clsact)
{
	int err = 0;

	for (size_t i = 0; i < N_SIDES; i++) {
		int e = detach(uplink, i);

		err = err ? err : e;
	}
	if (made_clsact)
		clsact_release(uplink);
	pins_remove(PIN_NAME);
	return err;
}

struct sighting {
	void (*each)(void *context, const char *device);
	void *context;
	int err;
};

static void see_device(void *context, const struct link_info *l)
{
	const struct sighting *s = context;

	if (is_ours(l->ifindex, 0) || is_ours(l->ifindex, 1))
		s->each(s->context, l->name);
}

int guard_devices(void (*each)(void *context, const char *device), void *context)
{
	struct sighting s = {each, context, 0};

	libbpf_log();
	return link_each(see_device, &s);
}

/* Only the device that we made the qdisc for has one that nobody else uses. */
static bool made_clsact(void)
{
	struct pv_guard_settings s = {.made_clsact = 0};
	uint32_t zero = 0;
	int fd = pins_get(PIN_NAME, "guard_settings");

	if (fd < 0)
		return false;
	if (bpf_map_lookup_elem(fd, &zero, &s))
		s.made_clsact = 0;
	close(fd);
	return s.made_clsact;
}

static void release_device(void *context, const struct link_info *l)
{
	struct sighting *s = context;
	const bool made = *(bool *)s->context;
	bool ours = false;

	for (size_t i = 0; i < N_SIDES; i++) {
		int err;

		if (!is_ours(l->ifindex, i))
			continue;
		ours = true;
		err = detach(l->ifindex, i);
		s->err = s->err ? s->err : err;
	}
	if (ours && made)
		clsact_release(l->ifindex);
}

int guard_cleanup(void)
{
	bool made = made_clsact();
	struct sighting s = {NULL, &made, 0};
	int err;

	libbpf_log();
	err = link_each(release_device, &s);
	pins_remove(PIN_NAME);
	return err ? err : s.err;
}

/* --- content --- */

int guard_settings(struct guard *g, const struct pv_guard_settings *settings)
{
	struct pv_guard_settings s = *settings;
	uint32_t zero = 0;

	s.made_clsact |= g->settings.made_clsact;
	g->settings = s;
	return bpf_map_update_elem(bpf_map__fd(g->skeleton->maps.guard_settings), &zero, &s,
				   BPF_ANY)
		       ? -errno
		       : 0;
}

static int ranges_fd(const struct guard *g, int family)
{
	return bpf_map__fd(family == AF_INET ? g->skeleton->maps.guard_ranges4
					     : g->skeleton->maps.guard_ranges6);
}

int guard_set(struct guard *g, const struct cidr *range, enum pv_guard_kind kind)
{
	const struct pv_guard_range value = {.kind = kind};

	return range_set(ranges_fd(g, range->family), range, &value);
}

int guard_unset(struct guard *g, const struct cidr *range)
{
	return range_unset(ranges_fd(g, range->family), range);
}

int guard_each(struct guard *g,
	       void (*each)(const struct cidr *range, enum pv_guard_kind kind, void *context),
	       void *context)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < 2; i++) {
		const int fd = ranges_fd(g, families[i]);
		union range_key key, *last = NULL;

		while (!bpf_map_get_next_key(fd, last, &key)) {
			struct cidr c = {.family = families[i],
					 .prefix_len = (uint8_t)key.v6.prefix_len};
			struct pv_guard_range value;

			memcpy(c.address, key.v6.address, cidr_address_size(families[i]));
			if (!bpf_map_lookup_elem(fd, &key, &value))
				each(&c, (enum pv_guard_kind)value.kind, context);
			last = &key;
		}
	}
	return 0;
}

void guard_counters(struct guard *g, struct pv_counters *sum)
{
	const int fd = bpf_map__fd(g->skeleton->maps.guard_counters);

	memset(sum, 0, sizeof(*sum));
	for (uint32_t slot = 0; slot < PV_COUNTER_SLOTS; slot++) {
		struct pv_counters c;
		const uint64_t *from = (const uint64_t *)&c;
		uint64_t *to = (uint64_t *)sum;

		if (bpf_map_lookup_elem(fd, &slot, &c))
			continue;
		for (size_t k = 0; k < sizeof(c) / sizeof(*to); k++)
			to[k] += from[k];
	}
}

/* --- making and freeing --- */

int guard_new(int uplink_ifindex, const struct pv_guard_settings *settings, struct guard **out)
{
	struct guard *g = calloc(1, sizeof(*g));
	struct pv_guard_settings before = {.made_clsact = 0};
	uint32_t zero = 0;
	int err = -ENOMEM;

	if (!g)
		return -ENOMEM;
	libbpf_log();
	g->uplink = uplink_ifindex;
	g->skeleton = guard_skeleton__open();
	if (!g->skeleton)
		goto fail;
	pins_reuse(g->skeleton->obj, PIN_NAME);
	err = guard_skeleton__load(g->skeleton);
	if (err)
		goto fail;
	/* Who made the qdisc is remembered across processes. */
	if (!bpf_map_lookup_elem(bpf_map__fd(g->skeleton->maps.guard_settings), &zero, &before))
		g->settings.made_clsact = before.made_clsact;
	pins_make(g->skeleton->obj, PIN_NAME, g->pins, sizeof(g->pins));
	err = guard_settings(g, settings);
	for (size_t i = 0; i < N_SIDES && !err; i++)
		err = attach(g, i);
	if (err)
		goto fail;
	*out = g;
	return 0;
fail:
	guard_free(g, false);
	return err;
}

void guard_free(struct guard *g, bool remove)
{
	if (!g)
		return;
	if (remove)
		remove_all(g->uplink, g->settings.made_clsact);
	guard_skeleton__destroy(g->skeleton);
	free(g);
}
