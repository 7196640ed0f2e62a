/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the tunnel process: what is understood, and what is refused, where and why. */
#include "check.h"

#include <errno.h>
#include <string.h>

#include "base/counters.h"
#include "service/service_request.h"

#define KEY "00112233445566778899aabbccddeeff00112233445566778899aabbccddee0f"

static int parse(const char *text, struct service_request *r, const char **problem, size_t *line)
{
	return service_request_parse(text, strlen(text), r, problem, line);
}

static void test_own_lines_come_before_those_of_wg(void **state)
{
	struct service_request r;
	const char *problem;
	size_t line;

	(void)state;
	assert_int_equal(parse("set=wireguard\nworkers=2\nwire=xdp\nuplink=7\nlow_latency=true\n"
			       "own_key=true\nlisten_port=51820\npublic_key=" KEY
			       "\nallowed_ip=10.0.0.0/8\n\n",
			       &r, &problem, &line),
			 0);
	assert_int_equal(r.verb, SERVICE_SET);
	assert_string_equal(r.id, "wireguard");
	assert_int_equal(r.has,
			 LINE_WORKERS | LINE_WIRE | LINE_UPLINK | LINE_LOW_LATENCY | LINE_OWN_KEY);
	assert_int_equal(r.workers, 2);
	assert_int_equal(r.wire, WIRE_XDP);
	assert_int_equal(r.uplink, 7);
	assert_true(r.low_latency && r.own_key);
	assert_int_equal(r.config.listen_port, 51820);
	assert_int_equal(r.config.n_peers, 1);
	assert_int_equal(r.config.peers[0].n_allowed, 1);
	service_request_fini(&r);
}

static void test_requests(void **state)
{
	static const struct {
		const char *text;
		enum service_verb verb;
	} good[] = {
		{"hello=1\n\n", SERVICE_HELLO},
		{"hello=4294967295\n\n", SERVICE_HELLO},
		{"events=1\n\n", SERVICE_EVENTS},
		{"log=1\nlevel=debug\nformat=json\n\n", SERVICE_LOG},
		{"quit=1\n\n", SERVICE_QUIT},
		{"key=wireguard-v6\n\n", SERVICE_KEY},
		{"take_key=wireguard\nfrom=wireguard.cali\n\n", SERVICE_TAKE_KEY},
		{"forget_key=a\n\n", SERVICE_FORGET_KEY},
		{"make=a\nname=wg0\ninner_name=pv4.xsk\nworkers=8\nmtu=1440\n\n", SERVICE_MAKE},
		{"drop=a\n\n", SERVICE_DROP},
		{"set=a\n\n", SERVICE_SET},
		{"get=a\n\n", SERVICE_GET},
		{"counters=a\n\n", SERVICE_COUNTERS},
		{"handshake=a\nanyway=true\npublic_key=" KEY "\npublic_key=" KEY "\n\n",
		 SERVICE_HANDSHAKE},
		{"repair=a\n\n", SERVICE_REPAIR},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct service_request r;
		const char *problem;
		size_t line;

		assert_int_equal(parse(good[i].text, &r, &problem, &line), 0);
		assert_int_equal(r.verb, good[i].verb);
		assert_memory_equal(service_verb_name(r.verb), good[i].text,
				    strlen(service_verb_name(r.verb)));
		service_request_fini(&r);
	}
}

static void test_what_is_refused(void **state)
{
	static const struct {
		const char *text;
		size_t line;
		const char *problem;
		int err;
	} bad[] = {
		{"\n", 1, "unknown request", -EINVAL},
		{"", 1, "unknown request", -EINVAL},
		{"nonsense\n\n", 1, "the line is not KEY=VALUE", -EINVAL},
		{"status=1\n\n", 1, "unknown request", -EINVAL},
		{"hello=x\n\n", 1, "hello must be the number of a protocol", -EINVAL},
		{"quit=2\n\n", 1, "value must be 1", -EINVAL},
		{"get=../x\n\n", 1,
		 "device must be a word of a-z, 0-9 and -, of at most 31 characters", -EINVAL},
		{"get=\n\n", 1, "device must be a word of a-z, 0-9 and -, of at most 31 characters",
		 -EINVAL},
		{"get=abcdefghijklmnopqrstuvwxyz012345\n\n", 1,
		 "device must be a word of a-z, 0-9 and -, of at most 31 characters", -EINVAL},
		{"get=a\nallowed_ip=1.2.3.4/32\n\n", 2, "the request has no such line", -EINVAL},
		{"get=a\nmtu=1400\n\n", 2, "the line does not belong to this request", -EINVAL},
		{"make=a\nname=wg0\n\n", 3, "a line that this request needs is missing", -EINVAL},
		{"make=a\nname=a/b\n\n", 2, "name must be that of a device", -EINVAL},
		{"make=a\nmtu=65536\n\n", 2, "mtu must be 0 to 65535", -EINVAL},
		{"set=a\nworkers=9\n\n", 2, "workers must be 0 to 8", -EINVAL},
		{"set=a\nworkers=1\nworkers=1\n\n", 3, "the line is there twice", -EINVAL},
		{"set=a\nwire=usb\n\n", 2, "wire must be auto, socket or xdp", -EINVAL},
		{"set=a\nown_key=false\n\n", 2, "own_key must be true", -EINVAL},
		{"set=a\nlisten_port=1\nprivate_key=" KEY "\n\n", 2,
		 "private_key is made here, and nowhere else", -EPERM},
		{"set=a\nlisten_port=1\nworkers=1\n\n", 3, "unknown key of a device", -EINVAL},
		{"take_key=a\n\n", 2, "a line that this request needs is missing", -EINVAL},
		{"handshake=a\npublic_key=" KEY "\nremove=true\n\n", 2,
		 "handshake takes nothing but keys", -EINVAL},
		{"handshake=a\nlisten_port=1\n\n", 2, "handshake takes nothing but keys", -EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct service_request r;
		const char *problem = NULL;
		size_t line = 0;

		assert_int_equal(parse(bad[i].text, &r, &problem, &line), bad[i].err);
		assert_string_equal(problem, bad[i].problem);
		assert_int_equal(line, bad[i].line);
		assert_null(r.config.peers);
	}
}

/* Each number of the counters has a name, and the name leads back to it. */
static void test_names_of_counters(void **state)
{
	char name[COUNTER_NAME_ROOM];

	(void)state;
	for (size_t k = 0; k < COUNTERS_NUMBERS; k++) {
		counters_name(k, name);
		assert_int_equal(counters_find(name), k);
	}
	assert_int_equal(counters_find("ingress_size.16"), COUNTERS_NUMBERS - 1);
	assert_int_equal(counters_find("ingress_size.17"), COUNTERS_NUMBERS);
	assert_int_equal(counters_find("a counter of the future"), COUNTERS_NUMBERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_lines_come_before_those_of_wg),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_names_of_counters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
