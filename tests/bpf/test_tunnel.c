/* SPDX-License-Identifier: Apache-2.0 */
/*
 * classify and steer, run with BPF_PROG_TEST_RUN, and their loader. The tests have their own
 * network and mount namespace and their own bpffs.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "machine.h"
#include "packets.h"
#include "podveil/stamp.h"
#include "programs/programs.h"
#include "tunnel.skel.h"

#define MARK 0x200000

static struct programs *p;
static bool superpackets;

static int load(void **state)
{
	const struct pv_settings settings = {.fwmark = MARK, .fwmark_mask = MARK};
	const struct programs_params params = {
		.pin_name = "t0",
		.superpackets = superpackets,
	};

	(void)state;
	return programs_load(&params, &p) || programs_write_settings(p, &settings);
}

static int unload(void **state)
{
	(void)state;
	programs_free(p, true);
	return 0;
}

static int classify_fd(void)
{
	return adoption_fd(&p->adoption, superpackets ? p->skeleton->progs.classify
						      : p->skeleton->progs.classify_whole);
}

/* Makes an Ethernet frame with an inner packet; returns its length. */
static uint32_t frame(uint8_t *out, int version, uint32_t payload)
{
	struct shape s = {.version = version, .protocol = IPPROTO_UDP, .payload = payload};
	uint64_t random = 1;

	memset(out, 0x02, 12);
	put16(out + 12, version == 4 ? ETH_P_IP : ETH_P_IPV6);
	return ETH_HLEN + make_packet(out + ETH_HLEN, &s, &random, false);
}

/* BPF_PROG_TEST_RUN refuses packets without a whole IP header. */
#define NOT_RUN UINT32_MAX

/* Runs classify; returns its verdict. *stamp: what the frame's address bytes contain afterwards. */
static uint32_t run(uint8_t *data, uint32_t len, uint32_t mark, struct pv_stamp *stamp)
{
	uint8_t out[4096];
	struct __sk_buff skb = {.mark = mark};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = len, .data_out = out,
		    .data_size_out = sizeof(out), .ctx_in = &skb, .ctx_size_in = sizeof(skb));

	if (bpf_prog_test_run_opts(classify_fd(), &opts))
		return NOT_RUN;
	memcpy(stamp, out, sizeof(*stamp));
	return opts.retval;
}

static void allow4(const char *address, uint32_t length, uint32_t peer)
{
	const struct pv_allowed to = {.peer = peer, .generation = (uint16_t)(peer + 100)};
	struct pv_cidr4 c = {.prefix_len = length};

	inet_pton(AF_INET, address, c.address);
	assert_int_equal(programs_allow4(p, &c, &to), 0);
}

static void stamps_the_longest_match(void **state)
{
	const struct pv_allowed six = {.peer = 9, .generation = 5};
	struct pv_cidr6 c6 = {.prefix_len = 8, .address = {0xfd}};
	struct pv_stamp stamp;
	uint8_t data[512];
	uint32_t len = frame(data, 4, 100);

	(void)state;
	assert_int_equal(run(data, len, 0, &stamp), TC_ACT_OK);
	assert_int_equal(stamp.magic, PV_STAMP_MAGIC);
	assert_int_equal(stamp.peer, PV_STAMP_NO_PEER);
	allow4("0.0.0.0", 0, 1);
	allow4("10.0.2.0", 24, 2);
	allow4("10.0.3.0", 24, 3);
	assert_int_equal(run(data, len, 0, &stamp), TC_ACT_OK);
	assert_int_equal(stamp.peer, 2);
	assert_int_equal(stamp.generation, 102);
	assert_int_equal(stamp.gso_size, 0);
	allow4("10.0.2.2", 32, 4);
	run(data, len, 0, &stamp);
	assert_int_equal(stamp.peer, 4);

	const struct pv_cidr4 gone = {.prefix_len = 32, .address = {10, 0, 2, 2}};

	assert_int_equal(programs_disallow4(p, &gone), 0);
	run(data, len, 0, &stamp);
	assert_int_equal(stamp.peer, 2);
	/* IPv6 has its own table. */
	len = frame(data, 6, 100);
	run(data, len, 0, &stamp);
	assert_int_equal(stamp.peer, PV_STAMP_NO_PEER);
	assert_int_equal(programs_allow6(p, &c6, &six), 0);
	run(data, len, 0, &stamp);
	assert_int_equal(stamp.peer, 9);
	assert_int_equal(stamp.generation, 5);
	assert_int_equal(sum_of_counters(p).classified, 6);
}

static void drops_marked_packets(void **state)
{
	struct pv_stamp stamp;
	uint8_t data[512];
	uint32_t len = frame(data, 4, 100);

	(void)state;
	assert_int_equal(run(data, len, MARK, &stamp), TC_ACT_SHOT);
	assert_int_equal(run(data, len, MARK | 5, &stamp), TC_ACT_SHOT);
	assert_int_equal(run(data, len, 5, &stamp), TC_ACT_OK);
	assert_int_equal(sum_of_counters(p).drop_marked, 2);
	assert_int_equal(sum_of_counters(p).classified, 1);
}

static void drops_other_protocols(void **state)
{
	struct pv_stamp stamp;
	uint8_t data[512];
	uint32_t len = frame(data, 4, 100);

	(void)state;
	put16(data + 12, ETH_P_ARP);
	assert_int_equal(run(data, len, 0, &stamp), TC_ACT_SHOT);
	put16(data + 12, ETH_P_8021Q);
	assert_int_equal(run(data, len, 0, &stamp), TC_ACT_SHOT);
	assert_int_equal(sum_of_counters(p).drop_not_ip, 2);
	assert_int_equal(sum_of_counters(p).classified, 0);
}

/* Any bytes get a verdict and are counted. (The verifier ensures that nothing beyond the packet is
 * read.) */
static void hostile_packets(void **state)
{
	struct pv_stamp stamp;
	uint64_t random = 1, runs = 0;
	uint8_t data[256];

	(void)state;
	allow4("0.0.0.0", 0, 1);
	for (uint32_t len = ETH_HLEN + 1; len < 120; len++) {
		for (int version = 4; version <= 6; version += 2) {
			for (uint32_t i = 0; i < len; i++)
				data[i] = (uint8_t)draw(&random);
			put16(data + 12, version == 4 ? ETH_P_IP : ETH_P_IPV6);
			runs += run(data, len, 0, &stamp) != NOT_RUN;
		}
	}
	assert_true(runs > 100);
	assert_int_equal(sum_of_counters(p).classified + sum_of_counters(p).drop_malformed, runs);
}

static void steer_without_a_socket_drops(void **state)
{
	int fd = adoption_fd(&p->adoption, superpackets ? p->skeleton->progs.steer
							: p->skeleton->progs.steer_whole);
	uint8_t data[512];
	uint32_t len = frame(data, 4, 100);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = len);

	(void)state;
	assert_int_equal(bpf_prog_test_run_opts(fd, &opts), 0);
	assert_int_equal(opts.retval, XDP_DROP);
	assert_int_equal(sum_of_counters(p).drop_no_socket, 1);
	assert_int_equal(sum_of_counters(p).steered, 0);
}

/* --- the loader --- */

static uint64_t staged_after_restart(bool counters_of_another_version)
{
	const struct programs_params params = {
		.pin_name = "t1", .superpackets = superpackets, .adopt = true};
	struct programs *one;
	uint64_t staged;

	assert_int_equal(programs_load(&params, &one), 0);
	programs_counters(one)[0].staged = 7;
	if (counters_of_another_version)
		programs_counters(one)[0].layout++;
	programs_free(one, false);
	/* Without the record, as after another build, the programs are loaded anew. */
	unlink("/sys/fs/bpf/podveil/t1/record");
	assert_int_equal(programs_load(&params, &one), 0);
	staged = programs_counters(one)[0].staged;
	programs_free(one, true);
	return staged;
}

/* Counters of the same size but with other members must be recognized. */
static void counters_survive_unless_their_layout_changes(void **state)
{
	(void)state;
	assert_int_equal(staged_after_restart(false), 7);
	assert_int_equal(staged_after_restart(true), 0);
}

static void pins_are_created_and_removed(void **state)
{
	struct stat s;

	(void)state;
	assert_int_equal(stat("/sys/fs/bpf/podveil/t0/allowed_ips4", &s), 0);
	assert_int_equal(s.st_mode & 0777, 0600);
	assert_int_equal(stat("/sys/fs/bpf/podveil/t0", &s), 0);
	assert_int_equal(s.st_mode & 0777, 0700);
	assert_int_equal(programs_rename(p, "t1"), 0);
	assert_int_equal(access("/sys/fs/bpf/podveil/t1/peers", F_OK), 0);
	assert_int_equal(access("/sys/fs/bpf/podveil/t0", F_OK), -1);
	/* What a dead process has left is replaced. */
	programs_free(p, false);
	assert_int_equal(access("/sys/fs/bpf/podveil/t1/peers", F_OK), 0);
	assert_int_equal(load(NULL), 0);
	assert_int_equal(programs_rename(p, "t1"), 0);
	programs_free(p, true);
	assert_int_equal(access("/sys/fs/bpf/podveil/t1", F_OK), -1);
	assert_int_equal(load(NULL), 0);
}

static struct pv_peer_counters *_Atomic memory[64];
static _Atomic bool stop;

static void moved(void *context, uint32_t slot, struct pv_peer_counters *to)
{
	(void)context;
	if (slot == 3)
		rcu_set_pointer(&memory[slot], to);
}

static void *count_on(void *context)
{
	_Atomic uint64_t *done = context;

	rcu_register_thread();
	while (!stop) {
		__atomic_fetch_add(&memory[3][0].tx_packets, 1, __ATOMIC_RELAXED);
		++*done;
		rcu_quiescent_state();
	}
	rcu_unregister_thread();
	return NULL;
}

static void growth_loses_no_count(void **state)
{
	_Atomic uint64_t done = 0;
	pthread_t counter;

	(void)state;
	memory[3] = programs_peer_counters(p, 3);
	assert_null(programs_peer_counters(p, 16));
	stop = false;
	assert_int_equal(pthread_create(&counter, NULL, count_on, &done), 0);
	/* The thread counts while the map grows. On a busy machine it may start late. */
	while (!done)
		sched_yield();
	for (uint32_t slots = 17; slots < 4000; slots *= 2)
		assert_int_equal(programs_peer_grow(p, slots, moved, NULL), 0);
	stop = true;
	rcu_thread_offline();
	pthread_join(counter, NULL);
	rcu_thread_online();
	assert_int_equal(programs_peer_counters(p, 3)[0].tx_packets, done);
	assert_non_null(programs_peer_counters(p, 2999));
	assert_int_equal(programs_peer_grow(p, PV_MAX_PEERS + 1, moved, NULL), -ENOSPC);
	/* The pin shows the new map. */
	int fd = bpf_obj_get("/sys/fs/bpf/podveil/t0/peer_counters");
	struct pv_peer_traffic seen;
	uint32_t slot = 3;

	assert_true(fd >= 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &slot, &seen), 0);
	assert_int_equal(seen.worker[0].tx_packets, done);
	close(fd);
}

static int run_mode(bool with_superpackets)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(stamps_the_longest_match, load, unload),
		cmocka_unit_test_setup_teardown(drops_marked_packets, load, unload),
		cmocka_unit_test_setup_teardown(drops_other_protocols, load, unload),
		cmocka_unit_test_setup_teardown(hostile_packets, load, unload),
		cmocka_unit_test_setup_teardown(steer_without_a_socket_drops, load, unload),
		cmocka_unit_test_setup_teardown(pins_are_created_and_removed, load, unload),
		cmocka_unit_test_setup_teardown(growth_loses_no_count, load, unload),
		cmocka_unit_test(counters_survive_unless_their_layout_changes),
	};

	superpackets = with_superpackets;
	return cmocka_run_group_tests_name(with_superpackets ? "superpackets" : "per-packet", tests,
					   NULL, NULL);
}

int main(void)
{
	struct programs_features features;
	int failed;

	if (!own_machine("programs"))
		return 0;
	rcu_register_thread();
	programs_features(&features);
	failed = run_mode(false);
	if (features.superpackets)
		failed += run_mode(true);
	rcu_unregister_thread();
	return failed;
}
