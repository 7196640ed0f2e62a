/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's id of a loaded program. */
#ifndef PROGRAMS_PROGRAM_ID_H
#define PROGRAMS_PROGRAM_ID_H

#include <bpf/bpf.h>
#include <stdint.h>

/* 0: unknown, for example because fd is -1. No program has the id 0. */
static inline uint32_t program_id(int fd)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);

	return fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

#endif
