/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a tunnel process, also of one that is newer than we are. */
#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "service/report.h"

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddee0f"

static void test_everything(void **state)
{
	struct report r;

	(void)state;
	assert_int_equal(
		report_parse("name=wireguard.cali\nifindex=7\nversion=12\nown_public_key=" KEY "\n"
			     "listen_port=51820\nfwmark=2097152\npeers=2\naead=avx2\n"
			     "superpackets=1\nworkers=2\nmtu=1440\nwire=xdp\nwire_refused=1\n"
			     "wire_reason=no zero-copy, queue=3\nlow_latency=1\nlatency_missing=\n"
			     "handshakes.started.timer=5\nhandshakes.of.the.future=1\n"
			     "colour=blue\n"
			     "public_key=" KEY "\nendpoint=[fd00::1]:51820\n"
			     "last_handshake_time_sec=3\nlast_handshake_time_nsec=4\n"
			     "tx_bytes=18446744073709551615\nrx_bytes=1\ntx_packets=2\n"
			     "rx_packets=3\npersistent_keepalive_interval=25\nsessions=9\n"
			     "session_age_ns=10\nstaged=11\nattempts=12\ncolour=red\n"
			     "public_key=" KEY "\nsessions=0\nerrno=0\n\n",
			     &r),
		0);
	assert_string_equal(r.name, "wireguard.cali");
	assert_int_equal(r.ifindex, 7);
	assert_int_equal(r.version, 12);
	assert_true(r.device.has_key && r.device.public_key[1] == 0x11);
	assert_int_equal(r.device.listen_port, 51820);
	assert_int_equal(r.device.fwmark, 0x200000);
	assert_int_equal(r.device.n_peers, 2);
	assert_string_equal(r.aead, "avx2");
	assert_string_equal(r.wire, "xdp");
	assert_string_equal(r.device.wire_reason, "no zero-copy, queue=3");
	assert_true(r.device.superpackets && r.device.wire_refused && r.device.low_latency);
	assert_int_equal(r.device.workers, 2);
	assert_int_equal(r.device.handshakes[HANDSHAKE_STARTED_TIMER], 5);
	assert_int_equal(r.n_peers, 2);
	assert_int_equal(r.peers[0].endpoint.to.v6.sin6_port, htons(51820));
	assert_int_equal(r.peers[0].last_handshake.tv_sec, 3);
	assert_true(r.peers[0].tx_bytes == UINT64_MAX && r.peers[0].rx_packets == 3);
	assert_true(r.peers[0].sessions == 9 && r.peers[0].session_age_ns == 10);
	assert_true(r.peers[0].staged == 11 && r.peers[0].attempts == 12);
	assert_true(r.peers[1].session_age_ns == UINT64_MAX);
	assert_int_equal(r.peers[1].endpoint.to.any.sa_family, AF_UNSPEC);
	report_fini(&r);
}

static void test_what_is_no_report(void **state)
{
	static const char *const bad[] = {
		"",
		"errno=0\n\n",
		"name=wg0\n\n",
		"ifindex=1\n\n",
		"name=a name that is much too long\nifindex=1\n\n",
		"name=wg0\nifindex=1\npublic_key=00\n\n",
		"name=wg0\nifindex=1\nown_public_key=xx\n\n",
		"name=wg0\nifindex=1\npublic_key=" KEY "\nendpoint=nowhere\n\n",
		"name=wg0\nifindex=1\nno pair\n\n",
	};
	struct report r;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(report_parse(bad[i], &r), -EPROTO);
		assert_null(r.peers);
	}
}

static void test_counters(void **state)
{
	static struct pv_counters slots[PV_COUNTER_SLOTS];

	(void)state;
	assert_int_equal(report_parse_counters("slot=0\nstaged=3\negress_size.sum=9\n"
					       "egress_size.16=2\nof_the_future=1\n"
					       "slot=15\ndrop_leak=4\nerrno=0\n\n",
					       slots),
			 0);
	assert_int_equal(slots[0].staged, 3);
	assert_int_equal(slots[0].egress_size.sum, 9);
	assert_int_equal(slots[0].egress_size.bucket[16], 2);
	assert_int_equal(slots[15].drop_leak, 4);
	assert_int_equal(report_parse_counters("slot=16\nstaged=1\n\n", slots), -EPROTO);
	assert_int_equal(report_parse_counters("slot=1\nstaged=-1\n\n", slots), -EPROTO);
}

static void test_single_values(void **state)
{
	char value[8];

	(void)state;
	assert_true(report_value("a=1\nab=2\nb=3\n\n", "ab", value, sizeof(value)));
	assert_string_equal(value, "2");
	assert_false(report_value("a=1\n\nb=3\n\n", "b", value, sizeof(value)));
	assert_true(report_value("a=1234567\n", "a", value, sizeof(value)));
	assert_false(report_value("a=12345678\n", "a", value, sizeof(value)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_what_is_no_report),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_single_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
