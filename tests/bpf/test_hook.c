/* SPDX-License-Identifier: Apache-2.0 */
/* guard and shield on real devices: with TCX and with clsact, beside foreign programs, and after
 * the end of their process. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"
#include "netlink/link.h"
#include "programs/device_filters.h"
#include "programs/filter_programs.h"
#include "programs/hook/clsact.h"
#include "programs/hook/tcx.h"
#include "programs/program_id.h"

static const enum bpf_tc_attach_point sides[] = {BPF_TC_EGRESS, BPF_TC_INGRESS};

static struct device_filters *g;
static struct filter_device devices[2]; /* up0, and a tunnel without Ethernet header */
static int foreign = -1;		/* a foreign program that lets everything pass */
static bool tcx;
static const struct pv_guard_settings settings = {.strict = 1, .vxlan_ports = {4789}};

static int program(int ifindex, size_t side)
{
	if (ifindex == devices[0].ifindex)
		return side ? ingress_program_fd(g) : egress_program_fd(g);
	return side ? ingress_ip_program_fd(g) : egress_ip_program_fd(g);
}

/* --- what is attached, as the kernel reports it --- */

struct attached {
	uint32_t program[8], at[8], n; /* in the order in which they run */
};

static void add(void *context, const struct clsact_filter *f)
{
	struct attached *a = context;

	if (!f->handle)
		return;
	assert_true(a->n < 8);
	a->program[a->n] = f->program;
	a->at[a->n++] = f->handle;
}

static struct attached attached_by(bool by_tcx, int ifindex, size_t side)
{
	struct attached a = {.n = 0};
	struct tcx_entry all[8];
	uint32_t n = 8;

	if (!by_tcx) {
		assert_int_equal(clsact_each(ifindex, sides[side], add, &a), 0);
		return a;
	}
	if (!tcx_supported())
		return a;
	assert_int_equal(tcx_list(ifindex, sides[side], all, &n), 0);
	for (; a.n < n; a.n++) {
		a.program[a.n] = all[a.n].program;
		a.at[a.n] = all[a.n].link;
	}
	return a;
}

static struct attached attached(int ifindex, size_t side)
{
	return attached_by(tcx, ifindex, side);
}

/* Ours are attached to so many of the devices, on both sides, first, and once. */
static void assert_stand(size_t n)
{
	assert_int_equal(device_filters_count(g), n);
	for (size_t i = 0; i < n; i++)
		for (size_t side = 0; side < 2; side++) {
			const struct attached a = attached(devices[i].ifindex, side);
			const uint32_t id = program_id(program(devices[i].ifindex, side));

			assert_int_not_equal(a.n, 0);
			assert_int_equal(a.program[0], id);
			for (uint32_t k = 1; k < a.n; k++)
				assert_int_not_equal(a.program[k], id);
			assert_true(device_filters_state(g, i).in_place);
			/* Nothing of ours is attached in the other way. */
			assert_int_equal(attached_by(!tcx, devices[i].ifindex, side).n, 0);
		}
}

static void attach_foreign(int ifindex, size_t side, uint32_t priority)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = sides[side]);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = foreign, .handle = 1, .priority = priority);

	if (!tcx)
		assert_int_equal(bpf_tc_attach(&hook, &opts), 0);
	else /* the link stays until the test ends */
		assert_true(tcx_attach_first(ifindex, sides[side], foreign) >= 0);
}

static void detach_foreign(int ifindex, size_t side)
{
	const struct attached a = attached(ifindex, side);
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = sides[side]);

	for (uint32_t i = 0; i < a.n; i++) {
		LIBBPF_OPTS(bpf_tc_opts, opts, .handle = a.at[i], .priority = 1);

		if (a.program[i] == program_id(foreign))
			assert_int_equal(tcx ? tcx_detach(a.at[i]) : bpf_tc_detach(&hook, &opts),
					 0);
	}
}

/* --- making a guard --- */

static void raise_guard(size_t n)
{
	assert_int_equal(device_filters_new(&g), 0);
	assert_int_equal(device_filters_write_settings(g, &settings), 0);
	if (!tcx)
		device_filters_use_clsact(g);
	assert_int_equal(device_filters_attach(g, devices, n), 0);
}

static int begin(bool by_tcx)
{
	tcx = by_tcx;
	if (!shell("ip link add up0 type veth peer name up1 && "
		   "ip tuntap add mode tun name tun0"))
		return 1;
	for (size_t i = 0; i < 2; i++) {
		struct link_info link;

		if (link_get(i ? "tun0" : "up0", &link))
			return 1;
		devices[i] = (struct filter_device){link.ifindex, link.ethernet};
	}
	raise_guard(2);
	return 0;
}

static int begin_tcx(void **state)
{
	(void)state;
	return begin(true);
}

static int begin_clsact(void **state)
{
	(void)state;
	return begin(false);
}

static int end(void **state)
{
	(void)state;
	device_filters_free(g, true);
	return shell("ip link del up0 2>/dev/null; ip link del tun0") ? 0 : 1;
}

/* Drops CAP_SYS_ADMIN, as in a pod that lists its capabilities. Child processes have it again. */
static void without_sys_admin(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	assert_int_equal(syscall(__NR_capget, &header, data), 0);
	data[0].effective &= ~(1u << CAP_SYS_ADMIN);
	assert_int_equal(syscall(__NR_capset, &header, data), 0);
}

static void with_sys_admin(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	assert_int_equal(syscall(__NR_capget, &header, data), 0);
	data[0].effective |= 1u << CAP_SYS_ADMIN;
	assert_int_equal(syscall(__NR_capset, &header, data), 0);
}

/* --- the tests, each with TCX and with clsact --- */

static void both_are_attached_and_detached(void **state)
{
	(void)state;
	assert_stand(2);
	assert_int_equal(device_filters_repair(g), 0);
	assert_string_equal(device_filters_method(g), tcx ? "tcx" : "clsact");
	/* Making a qdisc loses packets, so it is made only if needed. An existing one stays. */
	assert_int_equal(shell("tc qdisc show dev up0 | grep -q clsact"), !tcx);
	device_filters_free(g, true);
	for (size_t i = 0; i < 2; i++)
		for (size_t side = 0; side < 2; side++)
			assert_int_equal(attached(devices[i].ifindex, side).n, 0);
	assert_int_equal(access("/sys/fs/bpf/podveil", F_OK), -1);
	assert_int_equal(shell("tc qdisc show dev up0 | grep -q clsact"), !tcx);
	raise_guard(2);
}

static void takes_over(bool adopts)
{
	struct attached before[2];

	for (size_t side = 0; side < 2; side++)
		before[side] = attached(devices[0].ifindex, side);
	device_filters_free(g, false);
	for (size_t side = 0; side < 2; side++)
		assert_int_equal(attached(devices[0].ifindex, side).program[0],
				 before[side].program[0]);
	if (!adopts)
		assert_true(shell("rm /sys/fs/bpf/podveil/guard/shield"));
	raise_guard(2);
	assert_stand(2);
	for (size_t side = 0; side < 2; side++) {
		const struct attached now = attached(devices[0].ifindex, side);

		assert_int_equal(now.at[0], before[side].at[0]);
		assert_int_equal(now.program[0] == before[side].program[0], adopts);
	}
	assert_int_equal(device_filters_displaced(g), 0);
	assert_int_equal(device_filters_repair(g), 0);
}

static void count_range(const struct cidr *range, enum pv_guard_kind kind, void *context)
{
	(void)range;
	(void)kind;
	++*(unsigned int *)context;
}

/* The same link or filter, with the same program or another: there was no moment without one. */
static void the_next_process_takes_over(void **state)
{
	unsigned int n = 0;
	struct cidr range;

	(void)state;
	assert_int_equal(cidr_parse("10.2.0.0/16", &range), 0);
	assert_int_equal(device_filters_set_range(g, &range, PV_GUARD_REMOTE), 0);
	takes_over(true);
	takes_over(false);
	takes_over(true);
	device_filters_each_range(g, count_range, &n);
	assert_int_equal(n, 1);
}

static void what_is_detached_is_repaired(void **state)
{
	(void)state;
	if (tcx) {
		assert_int_equal(tcx_detach(attached(devices[0].ifindex, 0).at[0]), 0);
		assert_int_equal(device_filters_repair(g), 1);
	} else {
		assert_true(shell("tc filter del dev up0 egress"));
		assert_int_equal(device_filters_repair(g), 1);
		assert_true(shell("tc qdisc del dev up0 clsact"));
		assert_int_equal(device_filters_repair(g), 2);
	}
	assert_stand(2);
	assert_true(shell("rm /sys/fs/bpf/podveil/guard/guard_ranges4"));
	assert_int_equal(device_filters_repair(g), 1);
	assert_true(shell("rm -r /sys/fs/bpf/podveil/*"));
	assert_true(device_filters_repair(g) > 0);
	assert_int_equal(device_filters_repair(g), 0);
	/* The pins keep the links. */
	device_filters_free(g, false);
	assert_int_equal(attached(devices[0].ifindex, 0).n, 1);
	raise_guard(2);
}

static void no_filter_runs_before_ours(void **state)
{
	(void)state;
	for (int round = 1; round <= 3; round++) {
		for (size_t side = 0; side < 2; side++)
			attach_foreign(devices[0].ifindex, side, 1);
		assert_int_equal(attached(devices[0].ifindex, 0).program[0], program_id(foreign));
		assert_int_equal(device_filters_repair(g), 2);
		assert_stand(2);
		for (size_t side = 0; side < 2; side++) {
			assert_int_equal(attached(devices[0].ifindex, side).n, 2);
			assert_int_equal(attached(devices[0].ifindex, side).program[1],
					 program_id(foreign));
			detach_foreign(devices[0].ifindex, side);
		}
		assert_int_equal(device_filters_displaced(g), 2 * round);
		assert_string_equal(device_filters_state(g, 0).before, "somebodys");
		assert_string_equal(device_filters_state(g, 1).before, "");
		assert_int_equal(device_filters_repair(g), 0);
		assert_stand(2);
	}
}

static void it_needs_no_cap_sys_admin(void **state)
{
	(void)state;
	device_filters_free(g, false);
	without_sys_admin();
	raise_guard(2);
	assert_stand(2);
	attach_foreign(devices[0].ifindex, 0, 1);
	assert_int_equal(device_filters_repair(g), 1);
	assert_stand(2);
	assert_int_equal(attached(devices[0].ifindex, 0).n, 2);
	device_filters_free(g, false);
	raise_guard(2);
	assert_stand(2);
	assert_int_equal(attached(devices[0].ifindex, 0).n, 2);
	device_filters_free(g, true);
	assert_int_equal(attached(devices[0].ifindex, 0).n, 1);
	assert_int_equal(attached(devices[1].ifindex, 1).n, 0);
	raise_guard(2);
	with_sys_admin();
}

static void a_device_that_is_no_longer_an_exit_is_released(void **state)
{
	(void)state;
	assert_int_equal(device_filters_attach(g, devices, 1), 0);
	/* Until then it stays as it is. */
	assert_int_equal(attached(devices[1].ifindex, 0).n, 1);
	assert_int_equal(device_filters_detach_others(g), 0);
	assert_int_equal(attached(devices[1].ifindex, 0).n, 0);
	assert_int_equal(attached(devices[1].ifindex, 1).n, 0);
	assert_stand(1);
	/* The same for what a dead process has left there. */
	assert_int_equal(device_filters_attach(g, devices, 2), 0);
	device_filters_free(g, false);
	raise_guard(1);
	assert_int_equal(device_filters_detach_others(g), 0);
	assert_int_equal(attached(devices[1].ifindex, 0).n, 0);
	assert_stand(1);
	assert_int_equal(shell("ls /sys/fs/bpf/podveil/guard | grep -c gress_ | grep -qx 2"), tcx);
}

static void a_device_is_removed_and_added_again(void **state)
{
	char again[100];

	(void)state;
	assert_true(shell("ip link del up0"));
	assert_true(device_filters_repair(g) >= 0);
	assert_int_equal(device_filters_attach(g, devices, 2), 0);
	snprintf(again, sizeof(again), "ip link add up0 index %d type veth peer name up1",
		 devices[0].ifindex);
	assert_true(shell(again));
	assert_int_equal(device_filters_attach(g, devices, 2), 0);
	assert_stand(2);
}

static void cleanup_finds_what_is_ours_and_nothing_else(void **state)
{
	(void)state;
	attach_foreign(devices[0].ifindex, 0, 9);
	device_filters_free(g, false);
	assert_int_equal(device_filters_cleanup(), 0);
	assert_int_equal(attached(devices[0].ifindex, 0).n, 1);
	assert_int_equal(attached(devices[0].ifindex, 0).program[0], program_id(foreign));
	assert_int_equal(attached(devices[0].ifindex, 1).n, 0);
	assert_int_equal(attached(devices[1].ifindex, 0).n, 0);
	assert_int_equal(access("/sys/fs/bpf/podveil", F_OK), -1);
	assert_int_equal(device_filters_cleanup(), 0);
	raise_guard(2);
}

/* An older agent, or an agent on an older kernel, without TCX, has left clsact filters. */
static void filters_of_an_older_agent_are_replaced(void **state)
{
	(void)state;
	device_filters_free(g, false);
	tcx = true;
	raise_guard(2);
	assert_stand(2);
	/* Deleting the qdisc would lose packets. */
	assert_true(shell("tc qdisc show dev up0 | grep -q clsact"));
}

static int load_foreign(void)
{
	const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "somebodys", "GPL", pass, 2, NULL);
}

int main(void)
{
#define TCX(name)                                                                                  \
	{                                                                                          \
#name " by tcx", name, begin_tcx, end, NULL                                        \
	}
#define CLSACT(name)                                                                               \
	{                                                                                          \
#name " by clsact", name, begin_clsact, end, NULL                                  \
	}
	const struct CMUnitTest by_clsact[] = {
		CLSACT(both_are_attached_and_detached),
		CLSACT(the_next_process_takes_over),
		CLSACT(what_is_detached_is_repaired),
		CLSACT(no_filter_runs_before_ours),
		CLSACT(it_needs_no_cap_sys_admin),
		CLSACT(a_device_that_is_no_longer_an_exit_is_released),
		CLSACT(a_device_is_removed_and_added_again),
		CLSACT(cleanup_finds_what_is_ours_and_nothing_else),
	};
	const struct CMUnitTest by_tcx[] = {
		TCX(both_are_attached_and_detached),
		TCX(the_next_process_takes_over),
		TCX(what_is_detached_is_repaired),
		TCX(no_filter_runs_before_ours),
		TCX(it_needs_no_cap_sys_admin),
		TCX(a_device_that_is_no_longer_an_exit_is_released),
		TCX(a_device_is_removed_and_added_again),
		TCX(cleanup_finds_what_is_ours_and_nothing_else),
		CLSACT(filters_of_an_older_agent_are_replaced),
	};
	int failed;

	if (!own_machine("programs"))
		return 0;
	foreign = load_foreign();
	if (foreign < 0)
		return 1;
	failed = cmocka_run_group_tests(by_clsact, NULL, NULL);
	if (tcx_supported())
		failed += cmocka_run_group_tests(by_tcx, NULL, NULL);
	return failed;
}
