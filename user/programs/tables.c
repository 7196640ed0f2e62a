/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the maps that the programs read: sockets, settings, peers, allowed IPs. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "programs/programs.h"
#include "tunnel.skel.h"

static int update(const struct bpf_map *map, const void *key, const void *value)
{
	return bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY) ? -errno : 0;
}

static int delete (const struct bpf_map *map, const void *key)
{
	return bpf_map_delete_elem(bpf_map__fd(map), key) ? -errno : 0;
}

int programs_set_socket(struct programs *p, unsigned int queue, int fd)
{
	return update(p->skeleton->maps.xsks, &queue, &fd);
}

void programs_clear_socket(struct programs *p, unsigned int queue)
{
	delete (p->skeleton->maps.xsks, &queue);
}

int programs_write_settings(struct programs *p, const struct pv_settings *settings)
{
	const uint32_t zero = 0;

	return update(p->skeleton->maps.settings, &zero, settings);
}

int programs_write_divert_settings(struct programs *p, const struct pv_divert_settings *settings)
{
	const uint32_t zero = 0;

	return update(p->skeleton->maps.divert_settings, &zero, settings);
}

int programs_set_divert_socket(struct programs *p, unsigned int queue, int fd)
{
	const struct bpf_map *map = p->skeleton->maps.uplink_xsks;

	return fd < 0 ? delete (map, &queue) : update(map, &queue, &fd);
}

int programs_peer_set(struct programs *p, uint32_t slot, const struct pv_peer *peer)
{
	return update(p->skeleton->maps.peers, &slot, peer);
}

void programs_peer_clear(struct programs *p, uint32_t slot)
{
	struct pv_peer_counters *c = programs_peer_counters(p, slot);

	delete (p->skeleton->maps.peers, &slot);
	if (c)
		memset(c, 0, sizeof(*c) * PV_PEER_COUNTER_SLOTS);
}

int programs_allow4(struct programs *p, const struct pv_cidr4 *cidr, const struct pv_allowed *to)
{
	return update(p->skeleton->maps.allowed_ips4, cidr, to);
}

int programs_allow6(struct programs *p, const struct pv_cidr6 *cidr, const struct pv_allowed *to)
{
	return update(p->skeleton->maps.allowed_ips6, cidr, to);
}

int programs_disallow4(struct programs *p, const struct pv_cidr4 *cidr)
{
	return delete (p->skeleton->maps.allowed_ips4, cidr);
}

int programs_disallow6(struct programs *p, const struct pv_cidr6 *cidr)
{
	return delete (p->skeleton->maps.allowed_ips6, cidr);
}
