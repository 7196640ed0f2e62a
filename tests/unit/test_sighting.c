/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/dissect.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include "check.h"

static const struct dissect_ports ports = {.wireguard = {51820, 51821}, .vxlan = 4789};

/* Parts of frames, from node 172.18.0.3 to .4, and from pod 10.244.1.2 to 10.244.2.2. */
#define ETHERNET4                                                                                  \
	"660000000001020304050607"                                                                 \
	"0800"
#define ETHERNET6                                                                                  \
	"660000000001020304050607"                                                                 \
	"86dd"
#define TAGGED4                                                                                    \
	"660000000001020304050607"                                                                 \
	"810000650800"
#define NODES(protocol, fragment) "450000340001" fragment "40" protocol "0000ac120003ac120004"
#define PODS(protocol)                                                                             \
	"4500003400010000"                                                                         \
	"40" protocol "00000af401020af40202"
#define PODS6(next)                                                                                \
	"60000000002a" next "40"                                                                   \
	"fd000010024400010000000000000002"                                                         \
	"fd000010024400020000000000000002"
#define TCP_PORTS		 "cafe1f90"
#define UDP(source, destination) source destination "00300000"
#define VXLAN			 "0800000000100000"
#define MESSAGE(type)		 type "000000"

static struct dissected_frame read_hex(const char *text)
{
	uint8_t frame[512];
	size_t len = unhex(frame, sizeof(frame), text);
	struct dissected_frame s;

	dissect_frame(frame, len, &ports, &s);
	return s;
}

static void assert_pods(const struct dissected_layer *l)
{
	char text[CIDR_TEXT];

	assert_string_equal(cidr_format(&l->source, true, text), "10.244.1.2");
	assert_string_equal(cidr_format(&l->destination, true, text), "10.244.2.2");
	assert_true(l->ports);
	assert_int_equal(l->source_port, 0xcafe);
	assert_int_equal(l->destination_port, 8080);
}

static void bare_and_tagged(void **state)
{
	static const char *const frames[] = {ETHERNET4 PODS("06") TCP_PORTS,
					     TAGGED4 PODS("06") TCP_PORTS};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(frames); i++) {
		const struct dissected_frame s = read_hex(frames[i]);

		assert_false(s.wireguard);
		assert_int_equal(s.n_layers, 1);
		assert_int_equal(s.layers[0].wrap, DISSECT_BARE);
		assert_pods(&s.layers[0]);
	}
}

static void wrapped(void **state)
{
	struct dissected_frame s = read_hex(ETHERNET4 NODES("11", "0000") UDP("d903", "12b5")
						    VXLAN ETHERNET4 PODS("06") TCP_PORTS);

	(void)state;
	assert_int_equal(s.n_layers, 2);
	assert_int_equal(s.layers[0].destination_port, 4789);
	assert_int_equal(s.layers[1].wrap, DISSECT_IN_VXLAN);
	assert_pods(&s.layers[1]);
	s = read_hex(ETHERNET4 NODES("04", "0000") PODS("06") TCP_PORTS);
	assert_int_equal(s.n_layers, 2);
	assert_int_equal(s.layers[1].wrap, DISSECT_IN_IP);
	assert_pods(&s.layers[1]);
}

static void messages(void **state)
{
	struct dissected_frame s =
		read_hex(ETHERNET4 NODES("11", "0000") UDP("ca6c", "ca6c") MESSAGE("04"));

	(void)state;
	assert_true(s.wireguard);
	assert_int_equal(s.message, 4);
	assert_int_equal(s.payload, 42);
	s = read_hex(ETHERNET4 NODES("11", "0000") UDP("d431", "ca6d") MESSAGE("01"));
	assert_true(s.wireguard);
	assert_int_equal(s.message, 1);
	/* On WireGuard's port, but not a WireGuard message: a packet like any other. */
	s = read_hex(ETHERNET4 NODES("11", "0000") UDP("ca6c", "ca6c") "47455420");
	assert_false(s.wireguard);
	assert_int_equal(s.n_layers, 1);
	/* Another port. */
	s = read_hex(ETHERNET4 NODES("11", "0000") UDP("0035", "d431") MESSAGE("04"));
	assert_false(s.wireguard);
	/* A pod's own WireGuard message inside VXLAN still counts as plaintext. */
	s = read_hex(ETHERNET4 NODES("11", "0000") UDP("d903", "12b5") VXLAN ETHERNET4 PODS("11")
			     UDP("ca6c", "ca6c") MESSAGE("04"));
	assert_false(s.wireguard);
	assert_int_equal(s.n_layers, 2);
}

static void ipv6_and_fragments(void **state)
{
	struct dissected_frame s = read_hex(ETHERNET6 PODS6("06") TCP_PORTS);
	char text[CIDR_TEXT];

	(void)state;
	assert_int_equal(s.n_layers, 1);
	assert_string_equal(cidr_format(&s.layers[0].destination, true, text), "fd00:10:244:2::2");
	assert_int_equal(s.layers[0].destination_port, 8080);
	/* After a hop-by-hop header. */
	s = read_hex(ETHERNET6 PODS6("00") "0600000000000000" TCP_PORTS);
	assert_int_equal(s.layers[0].protocol, IPPROTO_TCP);
	assert_int_equal(s.layers[0].destination_port, 8080);
	/* A later fragment has addresses, but no ports. */
	s = read_hex(ETHERNET6 PODS6("2c") "0600005000000001" TCP_PORTS);
	assert_int_equal(s.n_layers, 1);
	assert_true(s.layers[0].fragment);
	assert_false(s.layers[0].ports);
	s = read_hex(ETHERNET4 NODES("11", "00b9") MESSAGE("04") MESSAGE("04"));
	assert_true(s.layers[0].fragment);
	assert_false(s.wireguard);
}

static void cut_off(void **state)
{
	uint8_t frame[256];
	size_t len = unhex(frame, sizeof(frame),
			   ETHERNET4 NODES("11", "0000") UDP("d903", "12b5")
				   VXLAN ETHERNET4 PODS("06") TCP_PORTS);
	struct dissected_frame s;

	(void)state;
	/* A frame that is cut off: only the complete layers are found. */
	for (size_t n = 0; n <= len; n++) {
		uint8_t *copy = malloc(n + 1);

		memcpy(copy, frame, n);
		dissect_frame(copy, n, &ports, &s);
		assert_int_equal(s.n_layers, n < 34 ? 0 : n < 84 ? 1 : 2);
		free(copy);
	}
	assert_int_equal(read_hex("6600000000010203040506070806").n_layers, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bare_and_tagged), cmocka_unit_test(wrapped),
		cmocka_unit_test(messages),	   cmocka_unit_test(ipv6_and_fragments),
		cmocka_unit_test(cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
