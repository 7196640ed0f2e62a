/* SPDX-License-Identifier: Apache-2.0 */
#include "programs/loader.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "programs/libbpf_log.h"
#include "programs/object.h"
#include "programs/pins.h"
#include "programs/program_id.h"
#include "programs/program_maker.h"
#include "programs/programs.h"
#include "tunnel.skel.h"

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"

/* We create these devices, and nobody else attaches programs to them. */
#define TC_HANDLE   1
#define TC_PRIORITY 1

/* --- pins --- */

int programs_rename(struct programs *p, const char *pin_name)
{
	return pins_rename(p->directory, sizeof(p->directory), pin_name);
}

int programs_repin(struct programs *p)
{
	const struct bpf_map *aside = p->skeleton->maps.peer_counters;
	const int programs = adoption_repair(&p->adoption, p->directory);
	const int maps =
		programs < 0 ? programs : pins_repair(p->skeleton->obj, aside, p->directory);
	const int last =
		maps < 0 ? maps
			 : pins_repair_one(p->directory, p->peer_counters_fd, bpf_map__name(aside));

	return last < 0 ? last : programs + maps + last;
}

/* --- loading --- */

static void explain(int err)
{
	if (err == -EPERM || err == -EACCES)
		log_error("cannot load the programs",
			  "errno=%d needs=\"CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN\"", -err);
	else if (access(KERNEL_BTF, R_OK))
		log_error("cannot load the programs",
			  "errno=%d needs=\"a kernel with CONFIG_DEBUG_INFO_BTF (%s is missing)\"",
			  -err, KERNEL_BTF);
	else
		log_error("cannot load the programs",
			  "errno=%d needs=\"Linux 6.1 or later with AF_XDP and TC programs; "
			  "--unconfined --log-level debug shows the verifier\"",
			  -err);
}

/* With more entries than this, loading anew is faster than emptying the old maps. */
#define MAX_FORGOTTEN 4096

/* Deletes all entries of a map with keys of at most 64 bytes. False: too many entries, or an
 * error. */
static bool empty(const struct bpf_map *map, unsigned int *budget)
{
	const int fd = bpf_map__fd(map);
	uint8_t key[64], next[64];
	bool more = !bpf_map_get_next_key(fd, NULL, key);

	/* Get the next key before deleting this one: a search from the start would pass all empty
	 * buckets. */
	while (more) {
		more = !bpf_map_get_next_key(fd, key, next);
		if (!*budget || bpf_map_delete_elem(fd, key))
			return false;
		--*budget;
		memcpy(key, next, sizeof(key));
	}
	return true;
}

/* Deletes what the dead process wrote, except its counters. False: it could not. */
static bool forget(struct programs *p)
{
	const struct bpf_map *maps[] = {
		p->skeleton->maps.peers,
		p->skeleton->maps.allowed_ips4,
		p->skeleton->maps.allowed_ips6,
		p->skeleton->maps.local_addresses,
	};
	const struct pv_divert_settings none = {0};
	const struct pv_settings nothing = {0};
	unsigned int budget = MAX_FORGOTTEN;

	for (unsigned int i = 0; i < PV_MAX_QUEUES; i++)
		programs_clear_socket(p, i);
	for (unsigned int i = 0; i < PV_MAX_WORKERS; i++)
		programs_set_divert_socket(p, i, -1);
	if (programs_write_settings(p, &nothing) || programs_write_divert_settings(p, &none))
		return false;
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		if (!empty(maps[i], &budget))
			return false;
	return true;
}

static struct adoption_source source(const struct programs *p)
{
	struct adoption_source s = {.object = p->skeleton->obj,
				    .aside = p->skeleton->maps.peer_counters};

	s.elf = object_image(p->superpackets, &s.elf_size);
	return s;
}

/* Adopts everything that is pinned, or nothing. Then *adopted stays false, and the skeleton is open
 * but not loaded. */
static int adopt(struct programs *p, const char *pin_name, bool *adopted)
{
	const struct adoption_source s = source(p);
	int err = adoption_take(&p->adoption, &s, pin_name);

	if (err == -ENOENT || err == -ESTALE)
		return 0;
	if (!err && (p->unpinned || forget(p))) {
		*adopted = true;
		return pins_directory(pin_name, p->directory, sizeof(p->directory));
	}
	if (!err)
		log_info(
			"the maps of an earlier process still have too many entries: loading new programs",
			"directory=/sys/fs/bpf/podveil/%s entries=%d", pin_name, MAX_FORGOTTEN);
	adoption_fini(&p->adoption);
	tunnel__destroy(p->skeleton);
	p->skeleton = NULL;
	return object_open(p->superpackets, &p->skeleton);
}

/* The object gets the maps, the adoption the programs. */
static int use(struct programs *p, const struct made *m)
{
	struct bpf_program *program;
	struct bpf_map *map;
	size_t i = 0;
	int err = 0;

	bpf_object__for_each_map(map, p->skeleton->obj)
	{
		if (err || bpf_map__is_internal(map))
			continue;
		err = i < m->n ? bpf_map__reuse_fd(map, m->fds[i++]) : -EPROTO;
	}
	bpf_object__for_each_program(program, p->skeleton->obj)
	{
		if (err || !bpf_program__autoload(program))
			continue;
		err = i < m->n ? adoption_add(&p->adoption, program, m->fds[i++]) : -EPROTO;
	}
	return err ? err : i == m->n ? 0 : -EPROTO;
}

static int load(struct programs *p, const struct programs_params *params)
{
	const bool keep = params->adopt || params->live;
	const int counters =
		keep ? adoption_kept(p->skeleton->maps.counters, params->pin_name) : -1;
	struct made made;
	int err = make_programs(p->superpackets, counters, &made);

	if (counters >= 0)
		close(counters);
	if (err) {
		explain(err);
		return err;
	}
	err = use(p, &made);
	while (made.n)
		close(made.fds[--made.n]); /* the object and the adoption keep their own */
	if (!err)
		pins_sign_counters(bpf_map__fd(p->skeleton->maps.counters));
	return err;
}

static int map_counters(struct programs *p, const char *pin_name, bool adopted)
{
	p->counters =
		mmap(NULL, sizeof(struct pv_counters) * PV_COUNTER_SLOTS, PROT_READ | PROT_WRITE,
		     MAP_SHARED, bpf_map__fd(p->skeleton->maps.counters), 0);
	if (p->counters == MAP_FAILED) {
		p->counters = NULL;
		return -errno;
	}
	return p->unpinned ? peer_counters_share(p, pin_name) : peer_counters_init(p, adopted);
}

static void pin(struct programs *p, const char *pin_name)
{
	const struct adoption_source s = source(p);
	int err = pins_pin_all(p->skeleton->obj, pin_name, p->directory, sizeof(p->directory));

	if (err)
		log_warn("maps are not pinned",
			 "directory=/sys/fs/bpf/podveil errno=%d consequence=\"bpftool finds them "
			 "by id only\"",
			 -err);
	err = adoption_offer(&p->adoption, &s, p->directory);
	if (err)
		log_warn(
			"programs are not pinned",
			"directory=/sys/fs/bpf/podveil errno=%d consequence=\"the next process loads new programs\"",
			-err);
}

int programs_load(const struct programs_params *params, struct programs **out)
{
	struct programs *p;
	bool adopted = false;
	int err;

	libbpf_log();
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->adoption = (struct adoption)ADOPTION_NONE;
	p->peer_counters_fd = -1;
	p->superpackets = params->superpackets;
	p->unpinned = params->live;
	err = object_open(p->superpackets, &p->skeleton);
	if (!err && (params->adopt || params->live))
		err = adopt(p, params->pin_name, &adopted);
	if (!err && !adopted)
		err = load(p, params);
	if (!err)
		err = map_counters(p, params->pin_name, adopted);
	if (err)
		goto fail;
	p->adopted = adopted;
	if (!adopted && !params->live)
		pin(p, params->pin_name);
	*out = p;
	return 0;
fail:
	programs_free(p, !params->live);
	return err;
}

bool programs_adopted(const struct programs *p)
{
	return p->adopted;
}

void programs_settle(struct programs *p, const char *pin_name)
{
	p->unpinned = false;
	/* The adopted ones are pinned already. */
	if (!p->directory[0])
		pin(p, pin_name);
	peer_counters_pin(p);
}

void programs_free(struct programs *p, bool remove_pins)
{
	if (!p)
		return;
	if (remove_pins && p->directory[0])
		pins_remove(strrchr(p->directory, '/') + 1);
	peer_counters_fini(p);
	adoption_fini(&p->adoption);
	if (p->counters)
		munmap(p->counters, sizeof(struct pv_counters) * PV_COUNTER_SLOTS);
	tunnel__destroy(p->skeleton);
	free(p);
}

struct pv_counters *programs_counters(struct programs *p)
{
	return p->counters;
}

/* --- attaching --- */

static int fd_of_classify(const struct programs *p)
{
	const struct tunnel *s = p->skeleton;

	return adoption_fd(&p->adoption,
			   p->superpackets ? s->progs.classify : s->progs.classify_whole);
}

static int fd_of_steer(const struct programs *p)
{
	const struct tunnel *s = p->skeleton;

	return adoption_fd(&p->adoption, p->superpackets ? s->progs.steer : s->progs.steer_whole);
}

int programs_attach_tunnel(struct programs *p, int tunnel_ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = tunnel_ifindex, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = fd_of_classify(p), .handle = TC_HANDLE,
		    .priority = TC_PRIORITY, .flags = BPF_TC_F_REPLACE);
	int err;

	if (programs_attached_tunnel(p, tunnel_ifindex))
		return 0;
	err = bpf_tc_hook_create(&hook);
	if (err && err != -EEXIST)
		return err;
	return bpf_tc_attach(&hook, &opts);
}

bool programs_attached_tunnel(struct programs *p, int tunnel_ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = tunnel_ifindex, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);

	return !bpf_tc_query(&hook, &opts) && opts.prog_id == program_id(fd_of_classify(p));
}

int programs_attach_inner(struct programs *p, int inner_ifindex, bool generic)
{
	if (programs_attached_inner(p, inner_ifindex))
		return 0;
	return bpf_xdp_attach(inner_ifindex, fd_of_steer(p),
			      generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE, NULL);
}

bool programs_attached_inner(struct programs *p, int inner_ifindex)
{
	uint32_t id = 0;

	return !bpf_xdp_query_id(inner_ifindex, 0, &id) && id && id == program_id(fd_of_steer(p));
}
