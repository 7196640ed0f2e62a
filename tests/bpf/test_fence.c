/* SPDX-License-Identifier: Apache-2.0 */
/* In which order a fence is raised: what the kernel's maps are told is listened to. */
#include <bpf/bpf.h>
#include <dlfcn.h>
#include <event2/event.h>
#include <linux/bpf.h>

#include "check.h"
#include "machine.h"
#include "netlink/link.h"
#include "podveil/guard.h"
#include "strict/fence.h"

/* r: a range; S: strict; s: not strict. */
static char heard[64];

static void hear(int map, const void *value)
{
	struct bpf_map_info info = {.id = 0};
	uint32_t size = sizeof(info);
	const struct pv_guard_settings *s = value;
	char what = 0;

	if (bpf_obj_get_info_by_fd(map, &info, &size))
		return;
	if (!strncmp(info.name, "guard_ranges", strlen("guard_ranges")))
		what = 'r';
	else if (!strcmp(info.name, "guard_settings"))
		what = s->strict ? 'S' : 's';
	if (what && strlen(heard) + 1 < sizeof(heard))
		heard[strlen(heard)] = what;
}

/* In front of libbpf's, which it calls. */
int bpf_map_update_elem(int map, const void *key, const void *value, __u64 flags)
{
	int (*next)(int, const void *, const void *, __u64);

	*(void **)&next = dlsym(RTLD_NEXT, "bpf_map_update_elem");
	hear(map, value);
	return next(map, key, value, flags);
}

static struct settings settings = {
	.enabled4 = true,
	.interface4 = "wireguard.cali",
	.port4 = 51820,
	.strict_cidrs = {.all = {{AF_INET, 16, {10, 244}}}, .n = 1},
};
static struct plan_range ranges[] = {
	{.cidr = {AF_INET, 26, {10, 244, 0, 0}},
	 .name = "me",
	 .owner = PLAN_SELF,
	 .peer = PLAN_NO_PEER},
	{.cidr = {AF_INET, 26, {10, 244, 1, 0}},
	 .name = "a",
	 .owner = PLAN_OTHER,
	 .peer = PLAN_NO_PEER},
};
static struct plan plans[2] = {{.ranges = ranges, .n_ranges = 2}};
static const struct fence_input in = {.settings = &settings, .plans = plans, .n_plans = 2};
static struct event_base *base;
static struct link_info uplink;

/* What was heard while it was raised. */
static const char *raise_fence(struct fence *f)
{
	memset(heard, 0, sizeof(heard));
	assert_int_equal(fence_raise(f, uplink.ifindex, &in), 0);
	assert_int_equal(fence_settle(f), 0);
	return heard;
}

static void strictness_comes_after_its_ranges(void **state)
{
	struct fence *f, *next;

	(void)state;
	assert_int_equal(fence_new(base, &f), 0);
	settings.strict = true;
	assert_string_equal(raise_fence(f), "rrrS");
	settings.strict = false;
	raise_fence(f);
	/* While it stands: what is new comes first. */
	ranges[1].cidr.address[2] = 2;
	settings.strict = true;
	assert_string_equal(raise_fence(f), "rS");
	/* And over the end of a process: what stood goes on as it was until then. */
	settings.strict = false;
	raise_fence(f);
	fence_free(f, false);
	assert_int_equal(fence_new(base, &next), 0);
	ranges[1].cidr.address[2] = 3;
	settings.strict = true;
	assert_string_equal(raise_fence(next), "rS");
	fence_free(next, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strictness_comes_after_its_ranges),
	};
	int failed;

	if (!own_machine("fence"))
		return 0;
	if (!shell("ip link add up0 type veth peer name up1 && ip link set up0 up") ||
	    link_get("up0", &uplink))
		return 1;
	base = event_base_new();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	event_base_free(base);
	return failed;
}
