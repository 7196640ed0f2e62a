/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/loader.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
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

#include "bpf/programs.h"
#include "observe/log.h"
#include "tunnel.skel.h"

#define BPFFS	   "/sys/fs/bpf"
#define PIN_ROOT   BPFFS "/podveil"
#define KERNEL_BTF "/sys/kernel/btf/vmlinux"

/* Ours on the devices that we make; nobody else attaches there. */
#define TC_HANDLE   1
#define TC_PRIORITY 1

static int print(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[512];

	(void)level;
	vsnprintf(line, sizeof(line), format, args);
	line[strcspn(line, "\n")] = 0;
	log_debug("libbpf", "says=\"%s\"", line);
	return 0;
}

void programs_features(struct programs_features *out)
{
	struct btf *btf;

	memset(out, 0, sizeof(*out));
	out->btf = !access(KERNEL_BTF, R_OK);
	if (!out->btf)
		return;
	btf = btf__load_vmlinux_btf();
	if (libbpf_get_error(btf))
		return;
	/* The first came with fragments in generic XDP (Linux 6.9), the other with 6.2. */
	out->superpackets =
		btf__find_by_name_kind(btf, "skb_cow_data_for_xdp", BTF_KIND_FUNC) > 0 &&
		btf__find_by_name_kind(btf, "bpf_cast_to_kern_ctx", BTF_KIND_FUNC) > 0;
	btf__free(btf);
}

/* --- pins --- */

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && fs.f_type == BPF_FS_MAGIC;
}

static int make_directory(const char *path)
{
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

static int pin_directory(struct programs *p, const char *name)
{
	char path[sizeof(p->directory)];
	int err;

	if (!is_bpffs(BPFFS) &&
	    mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700"))
		return -errno;
	err = make_directory(PIN_ROOT);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/%s", PIN_ROOT, name);
	err = make_directory(path);
	if (!err)
		memcpy(p->directory, path, sizeof(path));
	return err;
}

int programs_pin(struct programs *p, int fd, const char *name)
{
	char path[sizeof(p->directory) + 64], fresh[sizeof(path) + 8];

	if (!p->directory[0])
		return 0;
	snprintf(path, sizeof(path), "%s/%s", p->directory, name);
	/* bpffs renames, but does not replace: what a reader may miss is one moment. */
	snprintf(fresh, sizeof(fresh), "%s_new", path);
	unlink(fresh);
	if (bpf_obj_pin(fd, fresh))
		return -errno;
	if (chmod(fresh, 0600) || (unlink(path) && errno != ENOENT) || rename(fresh, path)) {
		int err = -errno;

		unlink(fresh);
		return err;
	}
	return 0;
}

static void unpin(const char *directory)
{
	DIR *d = opendir(directory);
	struct dirent *entry;

	if (!d)
		return;
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(d), entry->d_name, 0);
	closedir(d);
	rmdir(directory);
	rmdir(PIN_ROOT); /* stays while another device has pins there */
}

static int pin_all(struct programs *p, const char *name)
{
	struct bpf_map *map;
	int err = pin_directory(p, name);

	if (err)
		return err;
	bpf_object__for_each_map(map, p->skeleton->obj)
	{
		if (bpf_map__is_internal(map))
			continue;
		err = programs_pin(p, bpf_map__fd(map), bpf_map__name(map));
		if (err) {
			unpin(p->directory);
			p->directory[0] = 0;
			return err;
		}
	}
	return 0;
}

const char *programs_pinned(const struct programs *p)
{
	return p->directory[0] ? p->directory : NULL;
}

int programs_rename(struct programs *p, const char *pin_name)
{
	char path[sizeof(p->directory)];

	if (!p->directory[0])
		return 0;
	snprintf(path, sizeof(path), "%s/%s", PIN_ROOT, pin_name);
	unpin(path); /* an empty one of a dead process; rename() takes no other */
	if (rename(p->directory, path))
		return -errno;
	memcpy(p->directory, path, sizeof(path));
	return 0;
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
			  "errno=%d needs=\"Linux 5.15 or later with AF_XDP and TC programs; "
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

	libbpf_set_print(print);
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
	err = tunnel__load(s);
	if (err) {
		explain(err);
		goto fail;
	}
	err = map_counters(p);
	if (err)
		goto fail;
	err = pin_all(p, params->pin_name);
	if (err)
		log_warn("maps are not pinned",
			 "directory=%s errno=%d consequence=\"bpftool finds them by id only\"",
			 PIN_ROOT, -err);
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
		unpin(p->directory);
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

static uint32_t id_of(int fd)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
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

	return !bpf_tc_query(&hook, &opts) && opts.prog_id == id_of(fd_of_classify(p));
}

int programs_attach_inner(struct programs *p, int inner_ifindex, bool generic)
{
	return bpf_xdp_attach(inner_ifindex, fd_of_steer(p),
			      generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE, NULL);
}

bool programs_attached_inner(struct programs *p, int inner_ifindex)
{
	uint32_t id = 0;

	return !bpf_xdp_query_id(inner_ifindex, 0, &id) && id && id == id_of(fd_of_steer(p));
}
