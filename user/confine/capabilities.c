/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confine/parts.h"
#include "confine/tables.h"

struct sets {
	uint64_t effective, permitted;
};

static int read_sets(struct sets *s)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &header, d))
		return -errno;
	s->effective = d[0].effective | (uint64_t)d[1].effective << 32;
	s->permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
	return 0;
}

/* Nothing is inheritable. */
static int write_set(uint64_t all)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2] = {
		{.effective = (uint32_t)all, .permitted = (uint32_t)all},
		{.effective = (uint32_t)(all >> 32), .permitted = (uint32_t)(all >> 32)},
	};

	return syscall(SYS_capset, &header, d) ? -errno : 0;
}

static uint64_t kept(enum confine_process process)
{
	uint64_t all = 0;

	for (size_t i = 0; i < confine_capabilities_count; i++) {
		const struct confine_capability *c = &confine_capabilities[i];

		if (c->who & process && !(c->who & AT_START))
			all |= 1ull << c->number;
	}
	return all;
}

/* Without CAP_SETPCAP the bounding set stays as it is, which matters only for a program that is
 * started later. */
static int drop_bounding_set(uint64_t keep)
{
	for (int c = 0; c < 64 && prctl(PR_CAPBSET_READ, c) >= 0; c++)
		if (!(keep >> c & 1) && prctl(PR_CAPBSET_READ, c) == 1 && prctl(PR_CAPBSET_DROP, c))
			return -errno;
	return 0;
}

int confine_capabilities_take(const struct confine_params *p, char *missing)
{
	const uint64_t keep = kept(p->process);
	struct sets s;
	int err = read_sets(&s);

	/* A change of the user has left them permitted, but not effective. */
	if (!err)
		err = write_set(s.permitted);
	if (err)
		return err;
	if (drop_bounding_set(keep))
		snprintf(missing, CONFINE_TEXT, "the bounding set stays: it needs CAP_SETPCAP");
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return write_set(s.permitted & keep);
}

void confine_capabilities_show(char *out, size_t room)
{
	struct sets s = {0};
	size_t used = 0;

	*out = 0;
	if (read_sets(&s))
		return;
	for (size_t i = 0; i < confine_capabilities_count; i++) {
		const struct confine_capability *c = &confine_capabilities[i];

		if (!(s.effective >> c->number & 1) || used + strlen(c->name) + 2 > room)
			continue;
		used += (size_t)snprintf(out + used, room - used, "%s%s", used ? " " : "", c->name);
	}
}

bool confine_capabilities_have(int number)
{
	struct sets s = {0};

	return !read_sets(&s) && s.effective >> number & 1;
}

int confine_no_new_privileges_take(const struct confine_params *p, char *missing)
{
	(void)p;
	(void)missing;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}
