/* SPDX-License-Identifier: Apache-2.0 */
/* Strict mode's filters on real devices: which devices lead out of the node, and in which order
 * guard and shield get their settings and ranges. */
#include <bpf/bpf.h>
#include <event2/event.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"
#include "podveil/guard.h"
#include "strict/exit_filters.h"
#include "strict/exits.h"
#include "strict/tagged_ranges.h"

#define PINS "/sys/fs/bpf/podveil/guard/"

static struct cidr range_of(const char *text)
{
	struct cidr c;

	assert_int_equal(cidr_parse(text, &c), 0);
	return c;
}

static int index_of(const char *device)
{
	const int ifindex = (int)if_nametoindex(device);

	assert_int_not_equal(ifindex, 0);
	return ifindex;
}

/* --- which devices lead out --- */

static int make_devices(void **state)
{
	(void)state;
	return shell("ip link add up0 type veth peer name up1 && "
		     /* A second uplink, where the node has an address. */
		     "ip link add eth1 type veth peer name port1 && "
		     "ip addr add 172.19.0.2/16 dev eth1 && "
		     /* Uplinks. The address of eth2 is in the range of pods, but is the node's. */
		     "ip link add eth2 type veth peer name port2 && "
		     "ip addr add 10.244.7.1/24 dev eth2 && "
		     "ip link add eth6 type veth peer name port6 && "
		     "ip addr add fc00::2/64 dev eth6 nodad && "
		     /* To pods: without an address, and with the address of the pods' gateway. */
		     "ip link add cali1 type veth peer name cali1p && "
		     "ip link add cni0 type bridge && ip addr add 10.244.1.1/24 dev cni0 && "
		     /* A device that leads nowhere, and our own tunnels. */
		     "ip link add ifb7 type ifb && ip addr add 172.20.0.1/16 dev ifb7 && "
		     "ip link add wg.test type veth peer name pv4.xsk && "
		     "ip addr add 172.18.0.2/32 dev wg.test && "
		     "ip addr add 172.18.0.3/32 dev pv4.xsk && "
		     "ip tuntap add mode tun name tun0 && "
		     /* An overlay with its own port. */
		     "ip link add vx0 type vxlan id 5 dstport 1234 dev up0")
		       ? 0
		       : -1;
}

static int delete_devices(void **state)
{
	(void)state;
	return shell("for d in up0 eth1 eth2 eth6 cali1 cni0 ifb7 wg.test tun0 vx0; do "
		     "ip link del $d 2>/dev/null; done; true")
		       ? 0
		       : -1;
}

/* The names of the devices, sorted, in one line. */
static const char *names_of(const struct exits *e)
{
	static char text[512];

	*text = 0;
	for (char first = 'a'; first <= 'z'; first++)
		for (size_t i = 0; i < e->n; i++)
			if (e->all[i].name[0] == first)
				snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ",
					 e->all[i].name);
	return text;
}

static bool among(const uint16_t ports[PV_GUARD_PORTS], uint16_t port)
{
	for (size_t i = 0; i < PV_GUARD_PORTS; i++)
		if (ports[i] == port)
			return true;
	return false;
}

static void which_devices_are_exits(void **state)
{
	struct cidr own = range_of("10.244.7.1/32"), pods = range_of("10.244.0.0/16");
	struct tagged_ranges ranges = {.n = 0};
	struct exits e = {.n = 0};
	struct exits_input in = {
		.uplink = index_of("up0"), .tunnels = {"wg.test", NULL}, .ranges = &ranges};

	(void)state;
	tagged_ranges_add(&ranges, &pods, PV_GUARD_REMOTE);
	tagged_ranges_add(&ranges, &own, PV_GUARD_LOCAL);
	tagged_ranges_sort(&ranges, PV_GUARD_LOCAL);
	assert_int_equal(exits_find(&e, &in), 0);
	assert_string_equal(names_of(&e), "eth1 eth2 eth6 up0 ");
	/* In strict mode, an overlay on top of them (vx0) gets a filter too. */
	in.strict = true;
	assert_int_equal(exits_find(&e, &in), 0);
	assert_string_equal(names_of(&e), "eth1 eth2 eth6 up0 vx0 ");
	assert_true(among(e.vxlan_ports, 1234) && among(e.vxlan_ports, 4789));
	assert_true(among(e.vxlan_ports, 8472) && among(e.geneve_ports, 6081));
	assert_false(among(e.geneve_ports, 1234));
	/* The uplink always counts, whatever it looks like. */
	in.uplink = index_of("cali1");
	assert_int_equal(exits_find(&e, &in), 0);
	assert_string_equal(names_of(&e), "cali1 eth1 eth2 eth6 vx0 ");
	exits_fini(&e);
	tagged_ranges_fini(&ranges);
}

/* --- settings and ranges, and when they come --- */

struct world {
	struct event_base *base;
	struct exit_filters *exit_filters;
	struct settings settings;
	struct plan plans[2];
	struct plan_range ranges[3];
};

static int begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	*state = w;
	w->base = event_base_new();
	w->settings =
		(struct settings){.enabled4 = true,
				  .port4 = 51820,
				  .strict_cidrs = {.all = {range_of("10.244.0.0/16")}, .n = 1},
				  .interface4 = "wg.test",
				  .interface6 = "wg6.test"};
	w->ranges[0] =
		(struct plan_range){range_of("10.244.1.0/24"), "us", PLAN_SELF, 0, false, false};
	w->ranges[1] =
		(struct plan_range){range_of("10.244.2.0/24"), "b", PLAN_OTHER, 0, false, false};
	w->plans[0] = (struct plan){.ranges = w->ranges, .n_ranges = 2};
	return make_devices(state) || exit_filters_new(w->base, &w->exit_filters) ? -1 : 0;
}

static int end(void **state)
{
	struct world *w = *state;

	exit_filters_free(w->exit_filters, true);
	event_base_free(w->base);
	free(w);
	return delete_devices(state);
}

static int apply_exit_filters(struct world *w)
{
	const struct remote_ranges_input in = {
		.settings = &w->settings, .plans = w->plans, .n_plans = 2};

	return exit_filters_apply(w->exit_filters, index_of("up0"), &in);
}

/* The settings that the programs read now. */
static struct pv_guard_settings in_force(void)
{
	struct pv_guard_settings s;
	const uint32_t zero = 0;
	const int fd = bpf_obj_get(PINS "guard_settings");

	assert_true(fd >= 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &s), 0);
	close(fd);
	return s;
}

/* The kind of a range in the map; 0: the map has no such range. */
static uint32_t kind_of(const char *text)
{
	const struct cidr range = range_of(text);
	struct pv_cidr4 key = {.prefix_len = range.prefix_len};
	struct pv_guard_range value = {.kind = 0};
	const int fd = bpf_obj_get(PINS "guard_ranges4");

	assert_true(fd >= 0);
	memcpy(&key.address, range.address, 4);
	/* The lookup finds the most specific range: this very one, if it is in the map. */
	if (bpf_map_lookup_elem(fd, &key, &value))
		value.kind = 0;
	close(fd);
	return value.kind;
}

static size_t count_ranges(void)
{
	const int fd = bpf_obj_get(PINS "guard_ranges4");
	struct pv_cidr4 key;
	void *last = NULL;
	size_t n = 0;

	assert_true(fd >= 0);
	for (; !bpf_map_get_next_key(fd, last, &key); last = &key)
		n++;
	close(fd);
	return n;
}

/* Strict CIDRs also contain our own pods. If strictness came first, it would cut them off until
 * their ranges are set; and for ever, if setting the ranges fails. */
static void strictness_comes_after_the_ranges(void **state)
{
	struct world *w = *state;

	assert_int_equal(apply_exit_filters(w), 0);
	assert_int_equal(exit_filters_remove_old(w->exit_filters), 0);
	assert_false(in_force().strict);
	/* A range that the kernel refuses, between others. */
	w->settings.strict = true;
	w->ranges[2] = w->ranges[1];
	w->ranges[1].cidr.prefix_len = 33;
	w->plans[0].n_ranges = 3;
	assert_true(apply_exit_filters(w) < 0);
	assert_false(in_force().strict);
	w->ranges[1] = w->ranges[2];
	w->plans[0].n_ranges = 2;
	assert_int_equal(apply_exit_filters(w), 0);
	assert_true(in_force().strict);
	assert_true(exit_filters_in_place(w->exit_filters));
	assert_int_equal(kind_of("10.244.0.0/16"), PV_GUARD_REMOTE);
	assert_int_equal(kind_of("10.244.1.0/24"), PV_GUARD_LOCAL);
	assert_int_equal(kind_of("10.244.2.0/24"), PV_GUARD_REMOTE);
}

/* The same for an agent that takes over from a dead one, whose programs still have its settings. */
static void strictness_is_inherited_until_then(void **state)
{
	struct world *w = *state;

	w->ranges[2] = w->ranges[1];
	for (int strict = 0; strict < 2; strict++) {
		w->settings.strict = strict;
		assert_int_equal(apply_exit_filters(w), 0);
		assert_int_equal(exit_filters_remove_old(w->exit_filters), 0);
		exit_filters_free(w->exit_filters, false);
		assert_int_equal(exit_filters_new(w->base, &w->exit_filters), 0);
		w->settings.strict = !strict;
		w->ranges[1].cidr.prefix_len = 33;
		assert_true(apply_exit_filters(w) < 0);
		assert_int_equal(in_force().strict, strict);
		w->ranges[1] = w->ranges[2];
		assert_int_equal(apply_exit_filters(w), 0);
		assert_int_equal(in_force().strict, !strict);
	}
}

/* A range is removed only after all else has changed; a range that moves to another node changes at
 * once. */
static void ranges_are_added_at_once_and_removed_late(void **state)
{
	struct world *w = *state;

	w->settings.strict = true;
	assert_int_equal(apply_exit_filters(w), 0);
	assert_int_equal(exit_filters_remove_old(w->exit_filters), 0);
	assert_int_equal(count_ranges(), 3);
	w->plans[0].n_ranges = 1;
	w->ranges[0].owner = PLAN_OTHER;
	assert_int_equal(apply_exit_filters(w), 0);
	assert_int_equal(count_ranges(), 3);
	assert_int_equal(kind_of("10.244.1.0/24"), PV_GUARD_REMOTE);
	assert_int_equal(exit_filters_remove_old(w->exit_filters), 0);
	assert_int_equal(count_ranges(), 2);
}

/* A netlink event is enough, because the agent may be busy. */
static void new_exits_are_guarded_at_once(void **state)
{
	struct world *w = *state;
	size_t before;

	assert_int_equal(apply_exit_filters(w), 0);
	assert_int_equal(exit_filters_remove_old(w->exit_filters), 0);
	before = exit_filters_count(w->exit_filters);
	assert_true(shell("ip addr add 10.244.1.7/32 dev cali1")); /* a pod's address: no uplink */
	event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(exit_filters_count(w->exit_filters), before);
	assert_true(shell("ip addr add 172.21.0.1/16 dev cali1"));
	event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(exit_filters_count(w->exit_filters), before + 1);
	assert_true(exit_filters_in_place(w->exit_filters));
	assert_true(shell("ip addr del 172.21.0.1/16 dev cali1"));
	event_base_loop(w->base, EVLOOP_ONCE);
	assert_int_equal(exit_filters_count(w->exit_filters), before);
}

/* The filters end in two steps; the first step only lets more packets pass. */
static void filters_are_removed(void **state)
{
	struct world *w = *state;
	const struct remote_ranges_input in = {
		.settings = &w->settings, .plans = w->plans, .n_plans = 2};

	w->settings.strict = w->settings.host_encryption = true;
	assert_int_equal(apply_exit_filters(w), 0);
	assert_true(in_force().strict && in_force().mark_ingress);
	assert_int_equal(exit_filters_apply(w->exit_filters, 0, &in), 0);
	assert_false(in_force().strict || in_force().mark_ingress);
	assert_false(exit_filters_in_place(w->exit_filters));
	assert_int_equal(access(PINS "guard_settings", F_OK), 0);
	assert_int_equal(exit_filters_remove_old(w->exit_filters), 0);
	assert_int_not_equal(access(PINS "guard_settings", F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(which_devices_are_exits, make_devices,
						delete_devices),
		cmocka_unit_test_setup_teardown(strictness_comes_after_the_ranges, begin, end),
		cmocka_unit_test_setup_teardown(strictness_is_inherited_until_then, begin, end),
		cmocka_unit_test_setup_teardown(ranges_are_added_at_once_and_removed_late, begin,
						end),
		cmocka_unit_test_setup_teardown(new_exits_are_guarded_at_once, begin, end),
		cmocka_unit_test_setup_teardown(filters_are_removed, begin, end),
	};

	if (!own_machine("fence"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
