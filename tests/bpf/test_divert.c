/* SPDX-License-Identifier: Apache-2.0 */
/* divert, run with BPF_PROG_TEST_RUN, and its loader on a real device. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <stdio.h>
#include <unistd.h>

#include "check.h"
#include "machine.h"
#include "netlink/link.h"
#include "packet/checksum.h"
#include "programs/programs.h"
#include "tunnel.skel.h"
#include "wire/frame.h"
#include "wire/xsk.h"

#define PORT 51820

static const uint8_t mac[] = {2, 0, 0, 0, 0, 2}, other_mac[] = {2, 0, 0, 0, 0, 9};
static struct programs *p;
static struct xsk *socket_of_queue;
static struct link_info device;

static int load(void **state)
{
	const struct programs_params params = {.pin_name = "d0"};
	struct pv_divert_settings settings = {.largest = 1600, .port = PORT};
	struct pv_address local[2] = {{{0}}, {{0}}};

	(void)state;
	memset(local[0].bytes + 10, 0xff, 2);
	inet_pton(AF_INET, "172.18.0.2", local[0].bytes + 12);
	inet_pton(AF_INET6, "fd00:18::2", local[1].bytes);
	memcpy(settings.mac, mac, sizeof(mac));
	return programs_load(&params, &p) || programs_write_divert_settings(p, &settings) ||
	       programs_write_divert_addresses(p, local, 2) ||
	       programs_set_divert_socket(p, 0, xsk_fd(socket_of_queue));
}

static int unload(void **state)
{
	(void)state;
	programs_free(p, true);
	return 0;
}

/* A data message of `length` bytes, to us. */
static uint32_t make(uint8_t *frame, bool ip6, uint32_t length)
{
	struct endpoint e = {.from_ifindex = 0};
	uint8_t message[2048] = {4};
	struct frame_headers h;

	if (ip6) {
		e.to.v6.sin6_family = AF_INET6;
		e.to.v6.sin6_port = htons(PORT);
		inet_pton(AF_INET6, "fd00:18::2", &e.to.v6.sin6_addr);
		inet_pton(AF_INET6, "fd00:18::1", &e.from.v6);
	} else {
		e.to.v4.sin_family = AF_INET;
		e.to.v4.sin_port = htons(PORT);
		inet_pton(AF_INET, "172.18.0.2", &e.to.v4.sin_addr);
		inet_pton(AF_INET, "172.18.0.1", &e.from.v4);
	}
	frame_prepare(&h, &e, other_mac, mac, 9000);
	return frame_build(frame, &h, 40000, message, length, 1, 7);
}

static uint32_t run(uint8_t *frame, uint32_t length)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = length);

	assert_int_equal(
		bpf_prog_test_run_opts(adoption_fd(&p->adoption, p->skeleton->progs.divert), &opts),
		0);
	return opts.retval;
}

static void data_messages_are_diverted(void **state)
{
	uint8_t frame[2048];

	(void)state;
	for (int ip6 = 0; ip6 < 2; ip6++) {
		const uint32_t sizes[] = {32, 33, 48, 1452};

		for (size_t i = 0; i < COUNT_OF(sizes); i++)
			assert_int_equal(run(frame, make(frame, ip6, sizes[i])), XDP_REDIRECT);
	}
	assert_int_equal(sum_of_counters(p).diverted, 8);
	/* The don't-fragment bit is accepted, and so is padding at the end. */
	assert_int_equal(make(frame, false, 32), 74);
	frame[20] = 0x40;
	frame[24] = frame[25] = 0;

	const uint16_t sum = checksum_finish(checksum_add(0, frame + 14, 20));

	memcpy(frame + 24, &sum, 2);
	assert_int_equal(run(frame, 90), XDP_REDIRECT);
}

static void everything_else_passes(void **state)
{
	static const struct {
		const char *what;
		bool ip6;
		uint8_t at, value;
		bool wrong_sum; /* keep IPv4's wrong checksum; else it is corrected */
	} cases[] = {
		{"another MAC", false, 5, 9, false},
		{"broadcast", false, 0, 0xff, false},
		{"a VLAN tag", false, 12, 0x81, false},
		{"ARP", false, 13, 6, false},
		{"options", false, 14, 0x46, false},
		{"a wrong sum", false, 24, 0, true},
		{"a wrong address under the sum", false, 29, 7, true},
		{"shorter than IP says", false, 17, 200, false},
		{"longer than UDP", false, 17, 59, false},
		{"a first fragment", false, 20, 0x20, false},
		{"a later fragment", false, 21, 1, false},
		{"TCP", false, 23, 6, false},
		{"source 0.18.0.1", false, 26, 0, false},
		{"source 127.18.0.1", false, 26, 127, false},
		{"source 224.18.0.1", false, 26, 224, false},
		{"source 255.18.0.1", false, 26, 255, false},
		{"to somebody else", false, 33, 3, false},
		{"from port 0", false, 35, 0, false},
		{"to another port", false, 37, 0, false},
		{"a short message", false, 39, 39, false},
		{"an initiation", false, 42, 1, false},
		{"a response", false, 42, 2, false},
		{"a cookie", false, 42, 3, false},
		{"no message at all", false, 42, 0, false},
		{"reserved bytes", false, 43, 1, false},
		{"reserved bytes", false, 44, 1, false},
		{"reserved bytes", false, 45, 1, false},
		{"version 4 in IPv6", true, 14, 0x40, false},
		{"hop-by-hop options", true, 20, 0, false},
		{"an IPv6 fragment", true, 20, 44, false},
		{"longer than UDP, IPv6", true, 19, 39, false},
		{"shorter than IPv6 says", true, 19, 200, false},
		{"from a group", true, 22, 0xff, false},
		{"to somebody else, IPv6", true, 53, 3, false},
		{"an initiation, IPv6", true, 62, 1, false},
	};
	uint8_t frame[2048];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const uint32_t n = make(frame, cases[i].ip6, 32);

		frame[cases[i].at] = cases[i].value;
		if (cases[i].at == 35) /* the other byte of the port */
			frame[34] = 0;
		if (!cases[i].ip6 && !cases[i].wrong_sum) {
			frame[24] = frame[25] = 0;

			const uint16_t sum = checksum_finish(checksum_add(0, frame + 14, 20));

			memcpy(frame + 24, &sum, 2);
		}
		if (run(frame, n) != XDP_PASS)
			fail_msg("%s was diverted", cases[i].what);
	}
	/* ::1, :: and mapped addresses begin with 64 zero bits: divert has one check for them. */
	make(frame, true, 32);
	memset(frame + 22, 0, 15);
	assert_int_equal(run(frame, 94), XDP_PASS);
	/* No UDP checksum, which IPv6 does not allow. */
	make(frame, true, 32);
	frame[60] = frame[61] = 0;
	assert_int_equal(run(frame, 94), XDP_PASS);
	/* Larger than a frame. */
	assert_int_equal(run(frame, make(frame, false, 1600)), XDP_PASS);
	assert_int_equal(sum_of_counters(p).diverted, 0);
}

static void cut_short_anywhere(void **state)
{
	uint8_t frame[128];

	(void)state;
	for (int ip6 = 0; ip6 < 2; ip6++) {
		const uint32_t n = make(frame, ip6, 32);

		for (uint32_t cut = 15; cut < n; cut++)
			assert_int_equal(run(frame, cut), XDP_PASS);
	}
}

static void without_a_socket_messages_go_to_the_kernel(void **state)
{
	uint8_t frame[128];

	(void)state;
	programs_set_divert_socket(p, 0, -1);
	assert_int_equal(run(frame, make(frame, false, 32)), XDP_PASS);
	assert_int_equal(sum_of_counters(p).diverted, 0);
}

static void addresses_come_and_go(void **state)
{
	struct pv_address many[3] = {{{1}}, {{2}}, {{0}}};
	uint8_t frame[128];
	const uint32_t n = make(frame, false, 32);

	(void)state;
	memset(many[2].bytes + 10, 0xff, 2);
	inet_pton(AF_INET, "172.18.0.2", many[2].bytes + 12);
	assert_int_equal(programs_write_divert_addresses(p, many, 2), 0);
	assert_int_equal(run(frame, n), XDP_PASS);
	assert_int_equal(programs_write_divert_addresses(p, many, 3), 0);
	assert_int_equal(run(frame, n), XDP_REDIRECT);
	assert_int_equal(programs_write_divert_addresses(p, many, 0), 0);
	assert_int_equal(run(frame, n), XDP_PASS);
}

static void attached_while_the_link_is_held(void **state)
{
	char name[16];
	int link, second;

	(void)state;
	assert_int_equal(programs_xdp_attached(device.ifindex, name), 0);
	assert_int_equal(programs_divert_attach(p, device.ifindex, false, &link), 0);
	assert_true(programs_xdp_attached(device.ifindex, name) > 0);
	assert_string_equal(name, "divert");
	/* An attached program is left alone. */
	assert_int_equal(programs_divert_attach(p, device.ifindex, false, &second), -EBUSY);
	assert_true(programs_divert_attach(p, device.ifindex, true, &second) < 0);
	close(link);
	assert_int_equal(programs_xdp_attached(device.ifindex, name), 0);
	assert_int_equal(programs_divert_attach(p, device.ifindex, true, &link), 0);
	close(link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(data_messages_are_diverted, load, unload),
		cmocka_unit_test_setup_teardown(everything_else_passes, load, unload),
		cmocka_unit_test_setup_teardown(cut_short_anywhere, load, unload),
		cmocka_unit_test_setup_teardown(without_a_socket_messages_go_to_the_kernel, load,
						unload),
		cmocka_unit_test_setup_teardown(addresses_come_and_go, load, unload),
		cmocka_unit_test_setup_teardown(attached_while_the_link_is_held, load, unload),
	};
	int failed;

	if (!own_machine("divert"))
		return 0;
	/* Native XDP needs a veth peer whose packets fit into a page. */
	if (link_pair_create("up0", "up1", 1, 1500, false) || link_get("up1", &device) ||
	    link_set_mtu(device.ifindex, 1500) || link_get("up0", &device) ||
	    link_set_up(device.ifindex, true) ||
	    xsk_open(&(struct xsk_params){.ifindex = device.ifindex, .sends = true},
		     &socket_of_queue))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	xsk_close(socket_of_queue);
	return failed;
}
