/* SPDX-License-Identifier: Apache-2.0 */
/* divert, the program on the uplink, and its maps. It is attached by a link that is not pinned:
 * when the process ends, the kernel receives the messages again. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <unistd.h>

#include "programs/programs.h"
#include "tunnel.skel.h"

int programs_divert_attach(struct programs *p, int uplink_ifindex, bool generic, int *link)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
	int fd = bpf_link_create(adoption_fd(&p->adoption, p->skeleton->progs.divert),
				 uplink_ifindex, BPF_XDP, &opts);

	if (fd < 0)
		return fd;
	*link = fd;
	return 0;
}

uint32_t programs_xdp_attached(int ifindex, char name[16])
{
	struct bpf_prog_info info = {0};
	uint32_t id = 0, len = sizeof(info);
	int fd;

	*name = 0;
	if (bpf_xdp_query_id(ifindex, 0, &id) || !id)
		return 0;
	fd = bpf_prog_get_fd_by_id(id);
	if (fd < 0)
		return id;
	if (!bpf_obj_get_info_by_fd(fd, &info, &len))
		memcpy(name, info.name, sizeof(info.name));
	name[15] = 0;
	close(fd);
	return id;
}

static bool among(const struct pv_address *a, const struct pv_address *all, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!memcmp(a, &all[i], sizeof(*a)))
			return true;
	return false;
}

int programs_write_divert_addresses(struct programs *p, const struct pv_address *all, size_t n)
{
	const int map = bpf_map__fd(p->skeleton->maps.local_addresses);
	struct pv_address key, next;
	const uint32_t one = 1;
	bool more = !bpf_map_get_next_key(map, NULL, &key);

	/* Delete old addresses first, so that there is room. */
	while (more) {
		more = !bpf_map_get_next_key(map, &key, &next);
		if (!among(&key, all, n))
			bpf_map_delete_elem(map, &key);
		key = next;
	}
	for (size_t i = 0; i < n; i++)
		if (bpf_map_update_elem(map, &all[i], &one, BPF_ANY))
			return -errno;
	return 0;
}
