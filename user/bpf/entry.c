/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/entry.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/clsact.h"
#include "bpf/libbpf_log.h"
#include "bpf/pins.h"
#include "bpf/program_id.h"
#include "bpf/programs.h"
#include "bpf/ranges.h"
#include "entry.skel.h"
#include "tunnel.skel.h"

/* "pv", the family, and whether we made the qdisc: it is known then whoever comes to ask. */
#define HANDLE	    0x70760000
#define HANDLE_V6   0x600
#define HANDLE_V4   0x400
#define HANDLE_MADE 0x1
#define TC_PRIORITY 1
#define NAME	    "entry:["

struct entry_program {
	struct entry_skeleton *skeleton;
	struct programs *of;
	int family;
	uint32_t id;
};

int entry_program_fd(const struct entry_program *e)
{
	return bpf_program__fd(e->skeleton->progs.entry);
}

/* --- attaching --- */

static uint32_t handle_of(int family)
{
	return HANDLE | (family == AF_INET ? HANDLE_V4 : HANDLE_V6);
}

/* What there is of ours on a device. */
struct found {
	uint32_t wanted;
	uint32_t handle, program; /* 0: nothing of this family */
	bool made;		  /* one of ours says that we made the qdisc */
};

static void see(void *context, const struct clsact_filter *f)
{
	struct found *to = context;

	if (strncmp(f->name, NAME, strlen(NAME)) != 0)
		return;
	if ((f->handle & ~(uint32_t)HANDLE_MADE) == to->wanted) {
		to->handle = f->handle;
		to->program = f->program;
	} else if ((f->handle & ~(uint32_t)HANDLE_MADE) != (to->wanted ^ HANDLE_V4 ^ HANDLE_V6)) {
		return;
	}
	to->made |= f->handle & HANDLE_MADE;
}

static int look(int family, int ifindex, struct found *out)
{
	*out = (struct found){.wanted = handle_of(family)};
	return clsact_each(ifindex, BPF_TC_INGRESS, see, out);
}

int entry_program_attach(struct entry_program *e, int ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = entry_program_fd(e), .priority = TC_PRIORITY,
		    .flags = BPF_TC_F_REPLACE);
	struct found found;
	int err = look(e->family, ifindex, &found);

	if (err)
		return err;
	if (found.handle && found.program == e->id)
		return 0;
	opts.handle = found.handle;
	if (!found.handle) {
		err = bpf_tc_hook_create(&hook);
		if (err && err != -EEXIST)
			return err;
		opts.handle = found.wanted | (found.made || !err ? HANDLE_MADE : 0);
	}
	hook.attach_point = BPF_TC_INGRESS;
	err = bpf_tc_attach(&hook, &opts);
	return err ? err : 1;
}

int entry_program_detach(int family, int ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .priority = TC_PRIORITY);
	struct found found;
	int err = look(family, ifindex, &found);

	if (err || !found.handle)
		return err;
	opts.handle = found.handle;
	err = bpf_tc_detach(&hook, &opts);
	if (err)
		return err;
	if (found.made)
		clsact_release(ifindex);
	return 1;
}

/* --- content --- */

static int ranges_fd(const struct entry_program *e, int family)
{
	return bpf_map__fd(family == AF_INET ? e->skeleton->maps.entry_ranges4
					     : e->skeleton->maps.entry_ranges6);
}

int entry_program_set(struct entry_program *e, const struct cidr *to, enum pv_entry_way way)
{
	const struct pv_entry_range value = {.way = way};

	return range_set(ranges_fd(e, to->family), to, &value);
}

int entry_program_unset(struct entry_program *e, const struct cidr *to)
{
	return range_unset(ranges_fd(e, to->family), to);
}

/* --- making and freeing --- */

/* The device's maps, but those that it has no use for; its own are made. */
static int share_maps(struct entry_skeleton *s, const struct tunnel *of)
{
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map(map, s->obj)
	{
		const struct bpf_map *there =
			bpf_object__find_map_by_name(of->obj, bpf_map__name(map));

		if (err || bpf_map__is_internal(map) || !there)
			continue;
		if (map == s->maps.peers || map == s->maps.peer_counters || map == s->maps.xsks)
			err = bpf_map__set_autocreate(map, false);
		else
			err = bpf_map__reuse_fd(map, bpf_map__fd(there));
	}
	return err;
}

static const struct bpf_map *own_map(const struct entry_program *e, unsigned int i)
{
	return i ? e->skeleton->maps.entry_ranges6 : e->skeleton->maps.entry_ranges4;
}

int entry_program_load(struct programs *of, const struct entry_program_params *params,
		       struct entry_program **out)
{
	struct entry_program *e = calloc(1, sizeof(*e));
	int err = -ENOMEM;

	if (!e)
		return -ENOMEM;
	libbpf_log();
	e->of = of;
	e->family = params->family;
	e->skeleton = entry_skeleton__open();
	if (!e->skeleton)
		goto fail;
	e->skeleton->rodata->tunnel_ifindex = (uint32_t)params->tunnel_ifindex;
	e->skeleton->rodata->inner_ifindex = (uint32_t)params->inner_ifindex;
	e->skeleton->rodata->queues = params->workers;
	err = share_maps(e->skeleton, of->skeleton);
	if (!err)
		err = entry_skeleton__load(e->skeleton);
	if (err)
		goto fail;
	e->id = program_id(entry_program_fd(e));
	/* Without a name they work as well. */
	for (unsigned int i = 0; i < 2; i++)
		pins_put(of->directory, bpf_map__fd(own_map(e, i)), bpf_map__name(own_map(e, i)));
	*out = e;
	return 0;
fail:
	entry_program_free(e, false);
	return err;
}

void entry_program_repin(const struct entry_program *e)
{
	for (unsigned int i = 0; i < 2; i++)
		pins_mend_one(e->of->directory, bpf_map__fd(own_map(e, i)),
			      bpf_map__name(own_map(e, i)));
}

void entry_program_free(struct entry_program *e, bool unpin)
{
	if (!e)
		return;
	for (unsigned int i = 0; unpin && i < 2; i++)
		pins_unlink(e->of->directory, bpf_map__name(own_map(e, i)));
	entry_skeleton__destroy(e->skeleton);
	free(e);
}
