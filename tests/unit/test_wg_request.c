/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>

#include "check.h"
#include "device/wg/wg_socket.h"

#define KEY "b85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33"

static int parse(const char *text, struct device_config *out)
{
	const char *problem;
	size_t line;

	return wg_request_parse(text, strlen(text), out, &problem, &line);
}

static void everything(void **state)
{
	struct device_config c;
	uint8_t key[KEY_SIZE];

	(void)state;
	unhex(key, sizeof(key), KEY);
	assert_int_equal(parse("private_key=" KEY "\nlisten_port=1\nfwmark=4294967295\n"
			       "replace_peers=true\npublic_key=" KEY "\npreshared_key=" KEY
			       "\nreplace_allowed_ips=true\nallowed_ip=10.0.0.0/8\n"
			       "allowed_ip=fd00::/16\nallowed_ip=-10.1.0.0/16\n"
			       "endpoint=[::1%1]:9\npersistent_keepalive_interval=65535\n"
			       "protocol_version=1\npublic_key=" KEY "\nremove=true\n"
			       "update_only=true\nendpoint=1.2.3.4:65535\n",
			       &c),
			 0);
	assert_int_equal(c.set, DEVICE_SET_PRIVATE_KEY | DEVICE_SET_LISTEN_PORT |
					DEVICE_SET_FWMARK | DEVICE_REPLACE_PEERS);
	assert_memory_equal(c.private_key, key, KEY_SIZE);
	assert_int_equal(c.listen_port, 1);
	assert_int_equal(c.fwmark, 0xffffffff);
	assert_int_equal(c.n_peers, 2);
	assert_int_equal(c.peers[0].set, PEER_SET_PRESHARED_KEY | PEER_REPLACE_ALLOWED_IPS |
						 PEER_SET_ENDPOINT | PEER_SET_KEEPALIVE);
	assert_memory_equal(c.peers[0].public_key, key, KEY_SIZE);
	assert_memory_equal(c.peers[0].preshared_key, key, KEY_SIZE);
	assert_int_equal(c.peers[0].keepalive, 65535);
	assert_int_equal(c.peers[0].n_allowed, 3);
	assert_int_equal(c.peers[0].allowed[1].cidr.family, AF_INET6);
	assert_int_equal(c.peers[0].allowed[1].cidr.prefix_len, 16);
	assert_false(c.peers[0].allowed[1].remove);
	assert_true(c.peers[0].allowed[2].remove);
	assert_int_equal(c.peers[0].endpoint.to.v6.sin6_scope_id, 1);
	assert_int_equal(ntohs(c.peers[0].endpoint.to.v6.sin6_port), 9);
	assert_int_equal(c.peers[1].set, PEER_REMOVE | PEER_UPDATE_ONLY | PEER_SET_ENDPOINT);
	assert_int_equal(ntohl(c.peers[1].endpoint.to.v4.sin_addr.s_addr), 0x01020304);
	device_config_fini(&c);
}

static void nothing(void **state)
{
	struct device_config c;

	(void)state;
	assert_int_equal(parse("", &c), 0);
	assert_int_equal(c.set, 0);
	assert_int_equal(c.n_peers, 0);
	device_config_fini(&c);
}

/* Requests with an invalid line are refused, and the number of the line is reported. */
static void refused(void **state)
{
	static const struct {
		const char *text;
		size_t line;
	} table[] = {
		{"listen_port", 1},
		{"listen_port=", 1},
		{"listen_port=65536", 1},
		{"listen_port=1\nlisten_port=+1", 2},
		{"listen_port= 1", 1},
		{"fwmark=4294967296", 1},
		{"fwmark=0x20", 1},
		{"replace_peers=false", 1},
		{"private_key=" KEY "00", 1},
		{"private_key=g85996fecc9c7f1fc6d2572a76eda11d59bcd20be8e543b15ce4bd85a8e75a33", 1},
		{"allowed_ip=10.0.0.0/8", 1}, /* without a peer */
		{"public_key=12", 1},
		{"public_key=" KEY "\nlisten_port=1", 2},
		{"public_key=" KEY "\nallowed_ip=10.0.0.0", 2},
		{"public_key=" KEY "\nallowed_ip=10.0.0.0/33", 2},
		{"public_key=" KEY "\nallowed_ip=10.0.0/24", 2},
		{"public_key=" KEY "\nallowed_ip=::/129", 2},
		{"public_key=" KEY "\nallowed_ip=/0", 2},
		{"public_key=" KEY "\nendpoint=1.2.3.4", 2},
		{"public_key=" KEY "\nendpoint=1.2.3.4:0", 2},
		{"public_key=" KEY "\nendpoint=1.2.3.4:65536", 2},
		{"public_key=" KEY "\nendpoint=::1:80", 2},
		{"public_key=" KEY "\nendpoint=[::1]80", 2},
		{"public_key=" KEY "\nendpoint=[::1%nosuchdevice]:80", 2},
		{"public_key=" KEY "\nendpoint=name.example:80", 2},
		{"public_key=" KEY "\nremove=false", 2},
		{"public_key=" KEY "\nprotocol_version=2", 2},
		{"public_key=" KEY "\npersistent_keepalive_interval=65536", 2},
		{"public_key=" KEY "\npersistent_keepalive_interval=off", 2},
		{"=", 1},
		{"unknown=1", 1},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		const char *problem = NULL;
		struct device_config c;
		size_t line;

		if (wg_request_parse(table[i].text, strlen(table[i].text), &c, &problem, &line) !=
		    -EINVAL)
			fail_msg("accepted: %s", table[i].text);
		assert_int_equal(line, table[i].line);
		assert_non_null(problem);
		assert_null(c.peers);
	}
}

static void zero_bytes_and_long_lines(void **state)
{
	char text[600];
	struct device_config c;
	const char *problem;
	size_t line;

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(wg_request_parse(text, sizeof(text), &c, &problem, &line), -EINVAL);
	assert_int_equal(wg_request_parse("listen_port=1\0\n", 15, &c, &problem, &line), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything),
		cmocka_unit_test(nothing),
		cmocka_unit_test(refused),
		cmocka_unit_test(zero_bytes_and_long_lines),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
