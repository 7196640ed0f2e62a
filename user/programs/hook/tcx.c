/* SPDX-License-Identifier: Apache-2.0 */
#include "programs/hook/tcx.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From linux/bpf.h of Linux 6.6: enum bpf_attach_type, the flags of mprog, and the parts of union
 * bpf_attr for BPF_LINK_CREATE and BPF_PROG_QUERY. Debian 12 has the header of 6.1. */
enum { ATTACH_TCX_INGRESS = 46, ATTACH_TCX_EGRESS = 47 };
#define FLAG_BEFORE (1u << 3)

struct link_create {
	uint32_t program, ifindex, attach_type, flags;
	uint32_t relative_fd; /* 0 with FLAG_BEFORE: before all others */
	uint32_t : 32;
	uint64_t expected_revision;
};
_Static_assert(sizeof(struct link_create) == 32, "the kernel's layout");

struct query {
	uint32_t ifindex, attach_type, query_flags, attach_flags;
	uint64_t program_ids;
	uint32_t count;
	uint32_t : 32;
	uint64_t program_attach_flags, link_ids, link_attach_flags, revision;
};
_Static_assert(sizeof(struct query) == 64, "the kernel's layout");

#define MAX_ENTRIES 64 /* the kernel's limit */

static int call(int command, void *attributes, size_t size)
{
	const long result = syscall(__NR_bpf, command, attributes, size);

	return result < 0 ? -errno : (int)result;
}

static uint32_t type_of(enum bpf_tc_attach_point side)
{
	return side == BPF_TC_EGRESS ? ATTACH_TCX_EGRESS : ATTACH_TCX_INGRESS;
}

int tcx_attach_first(int ifindex, enum bpf_tc_attach_point side, int program)
{
	struct link_create a = {
		.program = (uint32_t)program,
		.ifindex = (uint32_t)ifindex,
		.attach_type = type_of(side),
		.flags = FLAG_BEFORE,
	};

	return call(BPF_LINK_CREATE, &a, sizeof(a));
}

int tcx_list(int ifindex, enum bpf_tc_attach_point side, struct tcx_entry *out, uint32_t *n)
{
	uint32_t programs[MAX_ENTRIES] = {0}, links[MAX_ENTRIES] = {0};
	struct query a = {
		.ifindex = (uint32_t)ifindex,
		.attach_type = type_of(side),
		.program_ids = (uint64_t)(uintptr_t)programs,
		.link_ids = (uint64_t)(uintptr_t)links,
		.count = MAX_ENTRIES,
	};
	int err = call(BPF_PROG_QUERY, &a, sizeof(a));

	/* No program was ever attached there. */
	if (err == -ENOENT) {
		*n = 0;
		return 0;
	}
	if (err)
		return err;
	if (a.count > *n)
		return -ENOSPC;
	for (uint32_t i = 0; i < a.count; i++)
		out[i] = (struct tcx_entry){programs[i], links[i]};
	*n = a.count;
	return 0;
}

bool tcx_supported(void)
{
	struct tcx_entry all[MAX_ENTRIES];
	uint32_t n = MAX_ENTRIES;

	/* Device 1 is the loopback in every network namespace. An older kernel does not know the
	 * attach type. */
	return !tcx_list(1, BPF_TC_INGRESS, all, &n);
}

int tcx_detach(uint32_t link)
{
	int fd = bpf_link_get_fd_by_id(link), err;

	if (fd < 0)
		return -errno;
	err = bpf_link_detach(fd) ? -errno : 0;
	close(fd);
	return err;
}
