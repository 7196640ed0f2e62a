/* SPDX-License-Identifier: Apache-2.0 */
#include "programs/device_filters.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/array.h"
#include "base/counters.h"
#include "base/log.h"
#include "guard.skel.h"
#include "netlink/link.h"
#include "programs/adoption.h"
#include "programs/filter_programs.h"
#include "programs/hook/hook.h"
#include "programs/hook/tcx.h"
#include "programs/libbpf_log.h"
#include "programs/pins.h"
#include "programs/program_id.h"
#include "programs/range_map.h"

#define PIN_NAME "guard"

enum { EGRESS, INGRESS, N_SIDES };
static const struct {
	enum bpf_tc_attach_point point;
	const char *pin; /* name of the link's pin; the device's number follows */
} sides[N_SIDES] = {{BPF_TC_EGRESS, "egress_"}, {BPF_TC_INGRESS, "ingress_"}};

struct device {
	struct filter_device is;
	bool wanted;
	struct hook hooks[N_SIDES];
};

struct device_filters {
	struct guard_skeleton *skeleton; /* owns the maps */
	struct adoption adoption;	 /* owns the programs */
	bool tcx;
	struct device *devices;
	size_t n, room;
	uint64_t displaced;
	char pins[PATH_MAX]; /* empty: none */
};

int egress_program_fd(const struct device_filters *g)
{
	return adoption_fd(&g->adoption, g->skeleton->progs.guard);
}

int ingress_program_fd(const struct device_filters *g)
{
	return adoption_fd(&g->adoption, g->skeleton->progs.shield);
}

int egress_ip_program_fd(const struct device_filters *g)
{
	return adoption_fd(&g->adoption, g->skeleton->progs.guard_ip);
}

int ingress_ip_program_fd(const struct device_filters *g)
{
	return adoption_fd(&g->adoption, g->skeleton->progs.shield_ip);
}

void device_filters_use_clsact(struct device_filters *g)
{
	g->tcx = false;
}

static int program_fd(const struct device_filters *g, const struct device *d, size_t side)
{
	if (side == EGRESS)
		return d->is.ethernet ? egress_program_fd(g) : egress_ip_program_fd(g);
	return d->is.ethernet ? ingress_program_fd(g) : ingress_ip_program_fd(g);
}

/* --- attaching --- */

static struct adoption_source source(const struct device_filters *g)
{
	struct adoption_source s = {.object = g->skeleton->obj};

	s.elf = guard_skeleton__elf_bytes(&s.elf_size);
	return s;
}

/* A failed pin is no error: the next process only takes longer to start. */
static int offer(struct device_filters *g)
{
	const struct adoption_source s = source(g);
	const int err = adoption_offer(&g->adoption, &s, g->pins);

	if (err)
		log_warn("programs are not pinned",
			 "directory=/sys/fs/bpf/podveil/" PIN_NAME " errno=%d", -err);
	return egress_program_fd(g) < 0 ? err : 0;
}

static int add_programs(struct adoption *a, const struct bpf_object *o)
{
	struct bpf_program *program;
	int err = 0;

	bpf_object__for_each_program(program, o)
	{
		if (!err)
			err = adoption_add(a, program, bpf_program__fd(program));
	}
	return err;
}

/* Loads the same programs again, with the same maps. The caller replaces the attached ones step by
 * step. */
static int reload_programs(struct device_filters *g)
{
	struct guard_skeleton *fresh = guard_skeleton__open();
	struct adoption programs = ADOPTION_NONE;
	struct bpf_map *map, *old;
	int err;

	if (!fresh)
		return -errno;
	bpf_object__for_each_map(map, fresh->obj)
	{
		old = bpf_object__find_map_by_name(g->skeleton->obj, bpf_map__name(map));
		if (old && !bpf_map__is_internal(map))
			bpf_map__reuse_fd(map, bpf_map__fd(old));
	}
	err = guard_skeleton__load(fresh);
	if (!err)
		err = add_programs(&programs, fresh->obj);
	if (err) {
		adoption_fini(&programs);
		guard_skeleton__destroy(fresh);
		return err;
	}
	/* The names of the old programs are in the old skeleton: both go together. */
	adoption_fini(&g->adoption);
	guard_skeleton__destroy(g->skeleton);
	g->adoption = programs;
	g->skeleton = fresh;
	return offer(g);
}

static int repair_side(struct device_filters *g, struct device *d, size_t side)
{
	struct hook *h = &d->hooks[side];
	const unsigned int before = h->displaced;
	int fd = program_fd(g, d, side), done;
	char pin[32];

	snprintf(pin, sizeof(pin), "%s%d", sides[side].pin, d->is.ifindex);
	done = hook_repair(h, g->tcx, fd, program_id(fd), g->pins, pin);
	if (done == -EALREADY) {
		done = reload_programs(g);
		if (done)
			return done;
		fd = program_fd(g, d, side);
		done = hook_repair(h, g->tcx, fd, program_id(fd), g->pins, pin);
	}
	g->displaced += h->displaced - before;
	return done;
}

static int repair_device(struct device_filters *g, struct device *d)
{
	int repaired = 0;

	for (size_t i = 0; i < N_SIDES; i++) {
		int done = repair_side(g, d, i);

		if (done < 0)
			return done == -ENODEV || done == -ENXIO ? 0 : done;
		repaired += done;
	}
	return repaired;
}

int device_filters_repair(struct device_filters *g)
{
	int repaired = 0, first = 0, done;

	for (size_t i = 0; i < g->n; i++) {
		done = repair_device(g, &g->devices[i]);
		if (done >= 0)
			repaired += done;
		else if (!first)
			first = done;
	}
	done = pins_repair(g->skeleton->obj, NULL, g->pins);
	if (done >= 0)
		repaired += done;
	else if (!first)
		first = done;
	done = adoption_repair(&g->adoption, g->pins);
	if (done >= 0)
		repaired += done;
	else if (!first)
		first = done;
	return first ? first : repaired;
}

/* --- which devices --- */

static struct device *find_device(struct device_filters *g, int ifindex)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->devices[i].is.ifindex == ifindex)
			return &g->devices[i];
	return NULL;
}

static int add_device(struct device_filters *g, const struct filter_device *w)
{
	struct device *d = find_device(g, w->ifindex);

	if (!d) {
		if (ARRAY_GROW(g->devices, g->n, g->room))
			return -ENOMEM;
		d = &g->devices[g->n++];
		for (size_t i = 0; i < N_SIDES; i++)
			hook_init(&d->hooks[i], w->ifindex, sides[i].point);
	}
	d->is = *w;
	d->wanted = true;
	return 0;
}

int device_filters_attach(struct device_filters *g, const struct filter_device *wanted, size_t n)
{
	int first = 0;

	for (size_t i = 0; i < g->n; i++)
		g->devices[i].wanted = false;
	for (size_t i = 0; i < n; i++) {
		int done = add_device(g, &wanted[i]);

		if (!done)
			done = repair_device(g, find_device(g, wanted[i].ifindex));
		if (done < 0 && !first)
			first = done;
	}
	return first;
}

static int detach_from_device(int ifindex)
{
	int first = 0;

	for (size_t i = 0; i < N_SIDES; i++) {
		int err = hook_detach_all(ifindex, sides[i].point);

		first = first ? first : err;
	}
	return first;
}

struct detaching {
	struct device_filters *keep; /* keep its wanted devices; NULL: keep none */
	int first;
};

static void visit_link_to_detach(void *context, const struct link_info *l)
{
	struct detaching *s = context;
	const struct device *d = s->keep ? find_device(s->keep, l->ifindex) : NULL;
	int err = d && d->wanted ? 0 : detach_from_device(l->ifindex);

	s->first = s->first ? s->first : err;
}

/* Removes the pinned links of devices that are not wanted or do not exist any more. */
static void unpin_others(struct device_filters *g)
{
	DIR *directory = *g->pins ? opendir(g->pins) : NULL;
	struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory)))
		for (size_t i = 0; i < N_SIDES; i++) {
			const size_t len = strlen(sides[i].pin);
			const struct device *d;

			if (strncmp(entry->d_name, sides[i].pin, len) != 0)
				continue;
			d = find_device(g, atoi(entry->d_name + len));
			if (!d || !d->wanted)
				pins_unlink(g->pins, entry->d_name);
		}
	closedir(directory);
}

int device_filters_detach_others(struct device_filters *g)
{
	struct detaching s = {.keep = g};
	size_t kept = 0;
	int err = link_each(visit_link_to_detach, &s);

	unpin_others(g);
	for (size_t i = 0; i < g->n; i++) {
		if (g->devices[i].wanted) {
			g->devices[kept++] = g->devices[i];
			continue;
		}
		for (size_t k = 0; k < N_SIDES; k++)
			hook_fini(&g->devices[i].hooks[k]);
	}
	g->n = kept;
	return err ? err : s.first;
}

int device_filters_cleanup(void)
{
	struct detaching s = {.keep = NULL};
	int err;

	libbpf_log();
	err = link_each(visit_link_to_detach, &s);
	pins_remove(PIN_NAME);
	return err ? err : s.first;
}

struct device_visit {
	void (*each)(void *context, const char *device);
	void *context;
};

static void visit_device(void *context, const struct link_info *l)
{
	const struct device_visit *s = context;

	if (hook_has_ours(l->ifindex, BPF_TC_EGRESS) || hook_has_ours(l->ifindex, BPF_TC_INGRESS))
		s->each(s->context, l->name);
}

int device_filters_each_device(void (*each)(void *context, const char *device), void *context)
{
	struct device_visit s = {each, context};

	libbpf_log();
	return link_each(visit_device, &s);
}

/* --- state --- */

size_t device_filters_count(const struct device_filters *g)
{
	return g->n;
}

struct filter_state device_filters_state(const struct device_filters *g, size_t i)
{
	const struct device *d = &g->devices[i];
	const struct hook *of = d->hooks;

	return (struct filter_state){
		.ifindex = d->is.ifindex,
		.in_place = of[EGRESS].first && of[INGRESS].first,
		.before = *of[EGRESS].before ? of[EGRESS].before : of[INGRESS].before,
	};
}

const char *device_filters_method(const struct device_filters *g)
{
	return g->tcx ? "tcx" : "clsact";
}

uint64_t device_filters_displaced(const struct device_filters *g)
{
	return g->displaced;
}

/* --- settings, ranges, counters --- */

int device_filters_write_settings(struct device_filters *g,
				  const struct pv_guard_settings *settings)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(bpf_map__fd(g->skeleton->maps.guard_settings), &zero, settings,
				   BPF_ANY)
		       ? -errno
		       : 0;
}

static int ranges_fd(const struct device_filters *g, int family)
{
	return bpf_map__fd(family == AF_INET ? g->skeleton->maps.guard_ranges4
					     : g->skeleton->maps.guard_ranges6);
}

int device_filters_set_range(struct device_filters *g, const struct cidr *range,
			     enum pv_guard_kind kind)
{
	const struct pv_guard_range value = {.kind = kind};

	return range_map_set(ranges_fd(g, range->family), range, &value);
}

int device_filters_unset_range(struct device_filters *g, const struct cidr *range)
{
	return range_map_unset(ranges_fd(g, range->family), range);
}

int device_filters_each_range(struct device_filters *g,
			      void (*each)(const struct cidr *range, enum pv_guard_kind kind,
					   void *context),
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

void device_filters_counters(struct device_filters *g, struct pv_counters *sum)
{
	const int fd = bpf_map__fd(g->skeleton->maps.guard_counters);

	memset(sum, 0, sizeof(*sum));
	for (uint32_t slot = 0; slot < PV_COUNTER_SLOTS; slot++) {
		struct pv_counters c;

		if (!bpf_map_lookup_elem(fd, &slot, &c))
			counters_add(sum, &c);
	}
}

/* --- creating and freeing --- */

static int adopt_or_load(struct device_filters *g)
{
	const struct adoption_source s = source(g);
	struct bpf_map *map;
	int err = adoption_take(&g->adoption, &s, PIN_NAME);

	if (!err)
		return pins_directory(PIN_NAME, g->pins, sizeof(g->pins));
	/* New programs keep the old ranges. */
	bpf_object__for_each_map(map, s.object)
	{
		const int kept = adoption_kept(map, PIN_NAME);

		if (kept < 0)
			continue;
		bpf_map__reuse_fd(map, kept); /* the map keeps its own descriptor */
		close(kept);
	}
	err = guard_skeleton__load(g->skeleton);
	if (!err)
		err = add_programs(&g->adoption, s.object);
	if (err)
		return err;
	pins_sign_counters(bpf_map__fd(g->skeleton->maps.guard_counters));
	pins_pin_all(g->skeleton->obj, PIN_NAME, g->pins, sizeof(g->pins));
	return offer(g);
}

int device_filters_new(struct device_filters **out)
{
	struct device_filters *g = calloc(1, sizeof(*g));
	int err = -ENOMEM;

	if (!g)
		return -ENOMEM;
	g->adoption = (struct adoption)ADOPTION_NONE;
	libbpf_log();
	g->tcx = tcx_supported();
	g->skeleton = guard_skeleton__open();
	if (!g->skeleton)
		goto fail;
	err = adopt_or_load(g);
	if (err)
		goto fail;
	/* Without a pin, a link ends with the process; a clsact filter stays. */
	if (!*g->pins)
		g->tcx = false;
	*out = g;
	return 0;
fail:
	device_filters_free(g, false);
	return err;
}

void device_filters_free(struct device_filters *g, bool remove)
{
	if (!g)
		return;
	if (remove)
		device_filters_cleanup();
	for (size_t i = 0; i < g->n; i++)
		for (size_t k = 0; k < N_SIDES; k++)
			hook_fini(&g->devices[i].hooks[k]);
	free(g->devices);
	adoption_fini(&g->adoption);
	guard_skeleton__destroy(g->skeleton);
	free(g);
}
