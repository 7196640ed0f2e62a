/* SPDX-License-Identifier: Apache-2.0 */
#include "programs/loader.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/log.h"
#include "programs/libbpf_log.h"
#include "programs/pins.h"
#include "programs/program_id.h"
#include "programs/programs.h"
#include "tunnel.skel.h"

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"

/* Ours on the devices that we make; nobody else attaches there. */
#define TC_HANDLE   1
#define TC_PRIORITY 1

/* --- pins --- */

const char *programs_pinned(const struct programs *p)
{
	return p->directory[0] ? p->directory : NULL;
}

int programs_rename(struct programs *p, const char *pin_name)
{
	return pins_rename(p->directory, sizeof(p->directory), pin_name);
}

int programs_repin(struct programs *p)
{
	struct bpf_map *map;
	int mended = 0;

	bpf_object__for_each_map(map, p->skeleton->obj)
	{
		const int fd = map == p->skeleton->maps.peer_counters ? p->peer_counters_fd
								      : bpf_map__fd(map);
		int err = bpf_map__is_internal(map)
				  ? 0
				  : pins_mend_one(p->directory, fd, bpf_map__name(map));

		if (err < 0)
			return err;
		mended += err;
	}
	return mended;
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
			  "--log-level debug shows the verifier\"",
			  -err);
}

static int map_counters(struct programs *p)
{
	p->counters =
		mmap(NULL, sizeof(struct pv_counters) * PV_COUNTER_SLOTS, PROT_READ | PROT_WRITE,
		     MAP_SHARED, bpf_map__fd(p->skeleton->maps.counters), 0);
	if (p->counters == MAP_FAILED) {
		p->counters = NULL;
		return -errno;
	}
	return peer_counters_init(p);
}

int programs_load(const struct programs_params *params, struct programs **out)
{
	struct programs *p;
	struct tunnel *s;
	int err;

	libbpf_log();
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->peer_counters_fd = -1;
	p->superpackets = params->superpackets;
	p->skeleton = s = tunnel__open();
	if (!s) {
		err = -errno;
		goto fail;
	}
	bpf_program__set_autoload(s->progs.classify, params->superpackets);
	bpf_program__set_autoload(s->progs.steer, params->superpackets);
	bpf_program__set_autoload(s->progs.classify_whole, !params->superpackets);
	bpf_program__set_autoload(s->progs.steer_whole, !params->superpackets);
	if (params->adopt_counters)
		pins_reuse_one(s->maps.counters, params->pin_name);
	err = tunnel__load(s);
	if (err) {
		explain(err);
		goto fail;
	}
	pins_sign_counters(bpf_map__fd(s->maps.counters));
	err = map_counters(p);
	if (err)
		goto fail;
	err = pins_make(s->obj, params->pin_name, p->directory, sizeof(p->directory));
	if (err)
		log_warn("maps are not pinned",
			 "directory=/sys/fs/bpf/podveil errno=%d consequence=\"bpftool finds them "
			 "by id only\"",
			 -err);
	*out = p;
	return 0;
fail:
	programs_free(p, true);
	return err;
}

void programs_free(struct programs *p, bool remove_pins)
{
	if (!p)
		return;
	if (remove_pins && p->directory[0])
		pins_remove(strrchr(p->directory, '/') + 1);
	peer_counters_fini(p);
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
	return bpf_program__fd(p->superpackets ? p->skeleton->progs.classify
					       : p->skeleton->progs.classify_whole);
}

static int fd_of_steer(const struct programs *p)
{
	return bpf_program__fd(p->superpackets ? p->skeleton->progs.steer
					       : p->skeleton->progs.steer_whole);
}

int programs_attach_tunnel(struct programs *p, int tunnel_ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = tunnel_ifindex, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = fd_of_classify(p), .handle = TC_HANDLE,
		    .priority = TC_PRIORITY, .flags = BPF_TC_F_REPLACE);
	int err = bpf_tc_hook_create(&hook);

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
	return bpf_xdp_attach(inner_ifindex, fd_of_steer(p),
			      generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE, NULL);
}

bool programs_attached_inner(struct programs *p, int inner_ifindex)
{
	uint32_t id = 0;

	return !bpf_xdp_query_id(inner_ifindex, 0, &id) && id && id == program_id(fd_of_steer(p));
}
