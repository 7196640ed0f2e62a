/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map of peer counters, memory-mapped. An array map cannot grow, and one that is large enough
 * for every cluster would make `bpftool map dump` unreadable. So when its slots run out, a map of
 * at least twice the size replaces it.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "base/log.h"
#include "programs/pins.h"
#include "programs/program_maker.h"
#include "programs/programs.h"
#include "tunnel.skel.h"

#define NAME "peer_counters"

/* The kernel aligns the values of an array to 8 bytes. */
#define STRIDE sizeof(struct pv_peer_traffic)
_Static_assert(STRIDE % 8 == 0, "stride of the array in memory");

static uint8_t *map_memory(int fd, uint32_t slots)
{
	uint8_t *memory = mmap(NULL, slots * STRIDE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		return NULL;
	return memory;
}

void peer_counters_fini(struct programs *p)
{
	if (p->peer_counters)
		munmap(p->peer_counters, p->peer_slots * STRIDE);
	if (p->peer_counters_own)
		close(p->peer_counters_fd);
}

struct pv_peer_counters *programs_peer_counters(struct programs *p, uint32_t slot)
{
	if (slot >= p->peer_slots)
		return NULL;
	return ((struct pv_peer_traffic *)(p->peer_counters + slot * STRIDE))->worker;
}

/* Uses the object's map. If the programs were adopted, creates a new one instead: the counts of the
 * dead process belong to other peers. */
int peer_counters_init(struct programs *p, bool adopted)
{
	const struct bpf_map *map = p->skeleton->maps.peer_counters;
	int err;

	p->peer_slots = bpf_map__max_entries(map);
	p->peer_counters_fd = adopted ? make_peer_counters(p->peer_slots) : bpf_map__fd(map);
	if (p->peer_counters_fd < 0)
		return p->peer_counters_fd;
	p->peer_counters_own = adopted;
	p->peer_counters = map_memory(p->peer_counters_fd, p->peer_slots);
	if (!p->peer_counters)
		return -errno;
	err = adopted ? pins_pin(p->directory, p->peer_counters_fd, NAME) : 0;
	if (err)
		log_warn("a map is not pinned", "map=" NAME " errno=%d", -err);
	return 0;
}

static bool is_such_a_map(int fd, uint32_t *slots)
{
	struct bpf_map_info info = {.type = 0};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) || info.type != BPF_MAP_TYPE_ARRAY ||
	    info.value_size != STRIDE || !(info.map_flags & BPF_F_MMAPABLE))
		return false;
	*slots = info.max_entries;
	return true;
}

int peer_counters_share(struct programs *p, const char *pin_name)
{
	int fd = pins_open(pin_name, NAME);

	p->peer_slots = bpf_map__max_entries(p->skeleton->maps.peer_counters);
	if (fd >= 0 && !is_such_a_map(fd, &p->peer_slots)) {
		close(fd);
		fd = -ENOENT;
	}
	if (fd < 0) /* of another version, or unpinned: the counts of peers begin anew */
		fd = make_peer_counters(p->peer_slots);
	if (fd < 0)
		return fd;
	p->peer_counters_fd = fd;
	p->peer_counters_own = true;
	p->peer_counters = map_memory(fd, p->peer_slots);
	return p->peer_counters ? 0 : -errno;
}

void peer_counters_pin(struct programs *p)
{
	const int err = pins_pin(p->directory, p->peer_counters_fd, NAME);

	if (err)
		log_warn("a map is not pinned", "map=" NAME " errno=%d", -err);
}

int programs_peer_grow(struct programs *p, uint32_t slots,
		       void (*moved)(void *context, uint32_t slot, struct pv_peer_counters *memory),
		       void *context)
{
	const uint32_t old_slots = p->peer_slots;
	const int old_fd = p->peer_counters_fd;
	uint64_t *old = (uint64_t *)p->peer_counters, *snapshot, *fresh;
	uint32_t new_slots = old_slots;
	int fd, err = -ENOMEM;

	if (slots <= old_slots)
		return 0;
	if (slots > PV_MAX_PEERS)
		return -ENOSPC;
	while (new_slots < slots)
		new_slots *= 2;
	snapshot = malloc(old_slots * STRIDE);
	if (!snapshot)
		return -ENOMEM;
	fd = make_peer_counters(new_slots);
	if (fd < 0) {
		err = fd;
		goto out;
	}
	fresh = (uint64_t *)map_memory(fd, new_slots);
	if (!fresh) {
		close(fd);
		goto out;
	}
	/* Workers count into the old memory until the grace period ends. The difference between the
	 * old memory and the snapshot is what they added after it. */
	memcpy(snapshot, old, old_slots * STRIDE);
	memcpy(fresh, snapshot, old_slots * STRIDE);
	p->peer_counters = (uint8_t *)fresh;
	p->peer_slots = new_slots;
	for (uint32_t i = 0; i < old_slots; i++)
		moved(context, i, programs_peer_counters(p, i));
	synchronize_rcu();
	for (size_t i = 0; i < old_slots * STRIDE / sizeof(*old); i++)
		if (old[i] != snapshot[i])
			__atomic_fetch_add(&fresh[i], old[i] - snapshot[i], __ATOMIC_RELAXED);
	munmap(old, old_slots * STRIDE);
	if (p->peer_counters_own)
		close(old_fd);
	p->peer_counters_fd = fd;
	p->peer_counters_own = true;
	err = pins_pin(p->directory, fd, NAME);
out:
	free(snapshot);
	return err;
}
