/* SPDX-License-Identifier: Apache-2.0 */
#include "programs/hook/hook.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <limits.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "programs/hook/clsact.h"
#include "programs/hook/tcx.h"
#include "programs/pins.h"

#define MAX_ENTRIES 64 /* on one side of a device */
/* Two handles: so a filter of ours can be put before another one of ours. */
#define HANDLE	     0x7076 /* "pv" */
#define HANDLE_OTHER 0x7077
#define PRIORITY     1
#define A_MAP	     "guard_ranges4" /* all our programs use this map */

/* --- which programs are ours --- */

static bool is_map(uint32_t id, const char *name)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);
	int fd = bpf_map_get_fd_by_id(id);
	bool same;

	if (fd < 0)
		return false;
	same = !bpf_obj_get_info_by_fd(fd, &info, &len) && !strcmp(info.name, name);
	close(fd);
	return same;
}

/* Is the program ours? Also stores its name, if it has one. */
static bool is_ours(uint32_t program, char name[BPF_OBJ_NAME_LEN])
{
	uint32_t maps[8] = {0}, len = sizeof(struct bpf_prog_info);
	struct bpf_prog_info info = {.nr_map_ids = 8, .map_ids = (uint64_t)(uintptr_t)maps};
	int fd = program ? bpf_prog_get_fd_by_id(program) : -1;
	bool ours = false;

	if (fd < 0)
		return false;
	if (!bpf_obj_get_info_by_fd(fd, &info, &len)) {
		if (*info.name)
			memcpy(name, info.name, BPF_OBJ_NAME_LEN);
		for (uint32_t i = 0; i < info.nr_map_ids && i < 8 && !ours; i++)
			ours = is_map(maps[i], A_MAP);
	}
	close(fd);
	return ours;
}

/* --- what is attached --- */

struct entry {
	uint32_t program;
	uint32_t at; /* id of the TCX link, or handle of the filter */
	uint16_t priority;
	bool ours;
};

struct entries {
	struct entry all[MAX_ENTRIES];
	uint32_t n, known, known_link; /* known, known_link: ids that are ours; 0: none */
	char first[BPF_OBJ_NAME_LEN];
	bool too_many;
};

static void add(struct entries *e, const struct entry *one, const char *name)
{
	if (e->n == MAX_ENTRIES) {
		e->too_many = true;
		return;
	}
	if (!e->n)
		snprintf(e->first, sizeof(e->first), "%s", name);
	e->all[e->n++] = *one;
}

/* Reading other programs needs CAP_SYS_ADMIN, which the agent gives up; recognizing our own by known
 * ids does not. */
static void add_link(struct entries *e, const struct tcx_entry *there)
{
	char name[BPF_OBJ_NAME_LEN];
	struct entry one = {.program = there->program, .at = there->link};

	snprintf(name, sizeof(name), "id:%u", there->program);
	one.ours = (one.program && one.program == e->known) ||
		   (one.at && one.at == e->known_link) || is_ours(one.program, name);
	add(e, &one, name);
}

static void add_filter(void *context, const struct clsact_filter *f)
{
	struct entry one = {f->program, f->handle, f->priority, false};
	char name[BPF_OBJ_NAME_LEN];

	if (!f->handle)
		return;
	one.ours = (f->handle == HANDLE || f->handle == HANDLE_OTHER) &&
		   (!strncmp(f->name, "guard", 5) || !strncmp(f->name, "shield", 6));
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(f->name, ":"), f->name);
	add(context, &one, *name ? name : "?");
}

static int read_entries(struct entries *e, int ifindex, enum bpf_tc_attach_point side, bool tcx)
{
	struct tcx_entry there[MAX_ENTRIES];
	uint32_t n = MAX_ENTRIES;
	int err;

	e->n = 0;
	e->too_many = false;
	if (!tcx)
		err = clsact_each(ifindex, side, add_filter, e);
	else
		err = tcx_list(ifindex, side, there, &n);
	for (uint32_t i = 0; tcx && !err && i < n; i++)
		add_link(e, &there[i]);
	return err ? err : e->too_many ? -ENOSPC : 0;
}

static int remove_entry(int ifindex, enum bpf_tc_attach_point side, bool tcx, const struct entry *e)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = side);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = e->at, .priority = e->priority);

	return tcx ? tcx_detach(e->at) : bpf_tc_detach(&hook, &opts);
}

static int detach_ours(int ifindex, enum bpf_tc_attach_point side, bool tcx)
{
	struct entries e = {.known = 0};
	int first = read_entries(&e, ifindex, side, tcx);

	for (uint32_t i = 0; i < e.n; i++) {
		int err = e.all[i].ours ? remove_entry(ifindex, side, tcx, &e.all[i]) : 0;

		if (err && err != -ENOENT && !first)
			first = err;
	}
	return first == -ENODEV ? 0 : first;
}

int hook_detach_all(int ifindex, enum bpf_tc_attach_point side)
{
	int err = detach_ours(ifindex, side, false);
	int of_tcx = tcx_supported() ? detach_ours(ifindex, side, true) : 0;

	return err ? err : of_tcx;
}

bool hook_has_ours(int ifindex, enum bpf_tc_attach_point side)
{
	bool found = false;

	for (int tcx = 0; tcx <= tcx_supported(); tcx++) {
		struct entries e = {.known = 0};

		read_entries(&e, ifindex, side, tcx);
		for (uint32_t i = 0; i < e.n; i++)
			found |= e.all[i].ours;
	}
	return found;
}

/* --- attaching --- */

static int attach_filter(const struct hook *h, int program, uint32_t handle, bool replace)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = h->ifindex,
		    .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = program, .handle = handle, .priority = PRIORITY,
		    .flags = replace ? BPF_TC_F_REPLACE : 0);
	int err = bpf_tc_hook_create(&hook);

	if (err && err != -EEXIST)
		return err;
	hook.attach_point = h->side;
	return bpf_tc_attach(&hook, &opts);
}

static uint32_t link_id(int fd)
{
	struct bpf_link_info info = {0};
	uint32_t len = sizeof(info);

	return fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

static void take_link(struct hook *h, int link)
{
	if (h->link >= 0)
		close(h->link);
	h->link = link;
}

/* Attaches in front of all other programs. */
static int attach_first(struct hook *h, bool tcx, int program, bool other_handle)
{
	int link;

	/* The kernel puts a new filter before those of the same priority. */
	if (!tcx)
		return attach_filter(h, program, other_handle ? HANDLE_OTHER : HANDLE, false);
	link = tcx_attach_first(h->ifindex, h->side, program);
	if (link < 0)
		return link;
	/* Detach our old link, which runs behind another program. */
	if (h->link >= 0)
		bpf_link_detach(h->link);
	take_link(h, link);
	return 0;
}

/* Our entry is there, but runs an older program: replace that with this one. */
static int update(struct hook *h, bool tcx, int program, const struct entry *e)
{
	int link;

	if (!tcx)
		return attach_filter(h, program, e->at, true);
	if (e->at != link_id(h->link)) {
		link = bpf_link_get_fd_by_id(e->at);
		if (link < 0)
			return -errno;
		take_link(h, link);
	}
	return bpf_link_update(h->link, program, NULL) ? -errno : 0;
}

/* --- the whole hook --- */

void hook_init(struct hook *h, int ifindex, enum bpf_tc_attach_point side)
{
	*h = (struct hook){.ifindex = ifindex, .side = side, .link = -1};
}

void hook_fini(struct hook *h)
{
	take_link(h, -1);
}

static uint32_t first_of_ours(const struct entries *e)
{
	uint32_t i = 0;

	while (i < e->n && !e->all[i].ours)
		i++;
	return i;
}

/* Removes our other entries: an older program, or the one that ran behind another program. */
static int remove_rest(struct hook *h, bool tcx, const struct entries *e, uint32_t from)
{
	int first = 0;

	for (uint32_t i = from; i < e->n; i++) {
		const bool gone = tcx && e->all[i].at == e->known_link; /* already detached */
		int err = e->all[i].ours && !gone
				  ? remove_entry(h->ifindex, h->side, tcx, &e->all[i])
				  : 0;

		first = first ? first : err;
	}
	return first;
}

static int attach_or_update(struct hook *h, bool tcx, int program, uint32_t id)
{
	struct entries e = {.known = id, .known_link = tcx ? link_id(h->link) : 0};
	int err = read_entries(&e, h->ifindex, h->side, tcx);
	uint32_t ours;

	h->first = false;
	if (err)
		return err;
	ours = first_of_ours(&e);
	h->first = !ours && e.n;
	if (h->first) {
		if (e.all[0].program != id || (tcx && e.all[0].at != e.known_link))
			err = update(h, tcx, program, &e.all[0]);
		return err ? err : remove_rest(h, tcx, &e, 1);
	}
	if (ours < e.n) {
		memcpy(h->before, e.first, sizeof(h->before));
		if (tcx && e.all[ours].program == id)
			return -EALREADY;
	}
	err = attach_first(h, tcx, program, ours < e.n && e.all[ours].at == HANDLE);
	if (err)
		return err;
	h->first = true;
	h->displaced += ours < e.n;
	err = remove_rest(h, tcx, &e, ours);
	return err ? err : 1;
}

int hook_repair(struct hook *h, bool tcx, int program, uint32_t id, const char *directory,
		const char *pin)
{
	char path[PATH_MAX];
	int did, err;

	if (tcx && h->link < 0 && snprintf(path, sizeof(path), "%s/%s", directory, pin) > 0)
		h->link = bpf_obj_get(path); /* of an earlier process */
	did = attach_or_update(h, tcx, program, id);
	if (did < 0)
		return did;
	/* With the pin, the link stays when the process ends. */
	err = h->link >= 0 ? pins_repair_link(directory, h->link, pin) : 0;
	if (err > 0)
		err = 0;
	/* Remove an older agent's filters: they are harmless, but check each packet twice. */
	if (!err && tcx && !h->old_filters_removed) {
		err = detach_ours(h->ifindex, h->side, false);
		h->old_filters_removed = !err;
	}
	return err ? err : did;
}
