/* SPDX-License-Identifier: Apache-2.0 */
/* Records of nodes: a written record is read back the same, and errors are named. */
#include <errno.h>
#include <stdio.h>

#include "check.h"
#include "store/nodes.h"
#include "store/record.h"

#define KEY "/2SvAih31XdL9qORFXcuxgHFHHO9sDmv0WZqk4kssE0="

static int parse(const char *text, struct node_record *r, char problem[200])
{
	return record_parse(text, strlen(text), r, problem, 200);
}

static void written_records_are_read(void **state)
{
	static const char text[] = "{\n"
				   "  \"name\": \"worker\",\n"
				   "  \"ipv4\": \"172.18.0.3\",\n"
				   "  \"ipv6\": \"fd00:18::3\",\n"
				   "  \"podCIDRs\": [\n"
				   "    \"10.244.1.0/26\",\n"
				   "    \"fd00:10:244:1::/64\"\n"
				   "  ],\n"
				   "  \"wireguardPublicKey\": \"" KEY "\",\n"
				   "  \"wireguardPublicKeyV6\": \"" KEY "\",\n"
				   "  \"wireguardEnabledV6\": false,\n"
				   "  \"tunnelIPv4\": \"10.244.1.0\",\n"
				   "  \"tunnelIPv6\": \"fd00:10:244:1::\",\n"
				   "  \"port\": 51820,\n"
				   "  \"portV6\": 51821,\n"
				   "  \"endpoint\": \"vpn.example.com:4500\",\n"
				   "  \"endpointV6\": \"[2001:db8::1]:51821\"\n"
				   "}\n";
	char problem[200] = "", *again;
	struct node_record r, copy;

	(void)state;
	assert_int_equal(parse(text, &r, problem), 0);
	assert_int_equal(r.n_pod_cidrs, 2);
	assert_int_equal(r.port6, 51821);
	assert_false(r.stopped4);
	assert_true(r.stopped6);
	again = record_format(&r);
	assert_string_equal(again, text);
	free(again);
	assert_int_equal(record_copy(&copy, &r), 0);
	assert_true(record_equal(&copy, &r));
	copy.pod_cidrs[1].address[0] ^= 1;
	assert_false(record_equal(&copy, &r));
	copy.pod_cidrs[1].address[0] ^= 1;
	copy.key6[31] ^= 1;
	assert_false(record_equal(&copy, &r));
	copy.key6[31] ^= 1;
	copy.stopped4 = true;
	assert_false(record_equal(&copy, &r));
	copy.stopped4 = false;
	copy.assigned = true;
	assert_false(record_equal(&copy, &r));
	copy.assigned = false;
	copy.endpoint6.port++;
	assert_false(record_equal(&copy, &r));
	copy.endpoint6 = r.endpoint6;
	copy.endpoint4.host[0] ^= 1;
	assert_false(record_equal(&copy, &r));
	copy.endpoint4 = r.endpoint4;
	copy.n_granted = 1;
	copy.granted[0] = copy.pod_cidrs[0];
	assert_false(record_equal(&copy, &r));
	record_fini(&copy);
	record_fini(&r);
}

static void few_members_are_enough_and_unknown_ones_are_ignored(void **state)
{
	char problem[200];
	struct node_record r;

	(void)state;
	assert_int_equal(
		parse("{\"name\":\"a\",\"colour\":{\"red\":1},\"ipv4\":null}", &r, problem), 0);
	assert_int_equal(r.address4.family, 0);
	assert_int_equal(r.n_pod_cidrs, 0);
	record_fini(&r);
	/* Ranges are sorted, without duplicates, and host bits are cleared. */
	assert_int_equal(parse("{\"name\":\"a\",\"podCIDRs\":[\"10.2.0.0/16\",\"10.1.2.3/16\","
			       "\"10.2.0.0/16\"]}",
			       &r, problem),
			 0);
	assert_int_equal(r.n_pod_cidrs, 2);
	assert_int_equal(r.pod_cidrs[0].address[1], 1);
	assert_int_equal(r.pod_cidrs[0].address[2], 0);
	record_fini(&r);
}

static void an_invalid_key_is_no_key(void **state)
{
	static const char *const table[] = {"", "none",
					    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AAAA",
					    "/2SvAih31XdL9qORFXcuxgHFHHO9sDmv0WZqk4kssE0=AAAA"};
	char text[200], problem[200];
	uint8_t zero[32] = {0};
	struct node_record r;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		snprintf(text, sizeof(text), "{\"name\":\"a\",\"wireguardPublicKey\":\"%s\"}",
			 table[i]);
		assert_int_equal(parse(text, &r, problem), 0);
		assert_memory_equal(r.key4, zero, 32);
		record_fini(&r);
	}
}

static void invalid_members_are_named(void **state)
{
	static const char *const table[][2] = {
		{"", "line"},
		{"{", "line 1"},
		{"[]", "not a JSON object"},
		{"{\"name\":\"a\"} x", "line 1"},
		{"{}", "name: is missing"},
		{"{\"name\":7}", "name: not a string"},
		{"{\"name\":\"A\"}", "name: may have"},
		{"{\"name\":\"\"}", "name: is empty"},
		{"{\"name\":\"-a\"}", "name: begins or ends"},
		{"{\"name\":\"../etc\"}", "name: "},
		{"{\"name\":\"a\",\"name\":\"b\"}", "duplicate"},
		{"{\"name\":\"a\",\"ipv4\":\"fd00::1\"}",
		 "ipv4: \"fd00::1\" is not an IPv4 address"},
		{"{\"name\":\"a\",\"ipv6\":\"10.0.0.1\"}", "ipv6: "},
		{"{\"name\":\"a\",\"ipv4\":\"10.0.0.1/8\"}", "ipv4: "},
		{"{\"name\":\"a\",\"podCIDRs\":\"10.0.0.0/8\"}", "podCIDRs: not a list"},
		{"{\"name\":\"a\",\"podCIDRs\":[\"10.0.0.0/8\",\"10.0.0.0/40\"]}",
		 "podCIDRs[1]: \"10.0.0.0/40\" is not an address range"},
		{"{\"name\":\"a\",\"podCIDRs\":[7]}", "podCIDRs[0]"},
		{"{\"name\":\"a\",\"wireguardPublicKey\":7}", "wireguardPublicKey: not a string"},
		{"{\"name\":\"a\",\"port\":65536}", "port: not a number from 0 to 65535"},
		{"{\"name\":\"a\",\"port\":\"51820\"}", "port: "},
		{"{\"name\":\"a\",\"portV6\":-1}", "portV6: "},
		{"{\"name\":\"a\",\"endpoint\":7}", "endpoint: not a string"},
		{"{\"name\":\"a\",\"endpoint\":\"a.example\"}",
		 "endpoint: \"a.example\": it needs a port from 1 to 65535"},
		{"{\"name\":\"a\",\"endpointV6\":\"a:65536\"}",
		 "endpointV6: \"a:65536\": it needs"},
		{"{\"name\":\"a\",\"endpoint\":\"a:0\"}", "it needs a port"},
		{"{\"name\":\"a\",\"endpoint\":\"a:+1\"}", "it needs a port"},
		{"{\"name\":\"a\",\"endpoint\":\":1\"}", "neither an address nor a name"},
		{"{\"name\":\"a\",\"endpoint\":\"a b:1\"}", "neither an address nor a name"},
		{"{\"name\":\"a\",\"endpoint\":\"192.0.2.300:1\"}",
		 "neither an address nor a name"},
		{"{\"name\":\"a\",\"endpoint\":\"2001:db8::1:51820\"}", "needs [brackets]"},
		{"{\"name\":\"a\",\"endpoint\":\"[192.0.2.1]:1\"}", "needs [brackets]"},
		{"{\"name\":\"a\",\"endpoint\":\"[a.example]:1\"}", "no IPv6 address"},
		{"{\"name\":\"a\",\"endpoint\":\"[]:1\"}", "neither an address nor a name"},
		{"{\"name\":\"a\",\"wireguardEnabled\":0}",
		 "wireguardEnabled: neither true nor false"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		char problem[200] = "";
		struct node_record r;

		assert_int_equal(parse(table[i][0], &r, problem), -EINVAL);
		assert_non_null(strstr(problem, table[i][1]));
	}
}

static void an_endpoint_is_read_in_each_form(void **state)
{
	static const char *const table[][2] = {
		{"192.0.2.1:51820", "192.0.2.1"},
		{"[2001:db8::1]:1", "2001:db8::1"},
		{"VPN.Example.COM:65535", "vpn.example.com"},
		{"localhost:80", "localhost"},
	};
	char text[ENDPOINT_TEXT_MAX], name[300];
	struct record_endpoint e, again;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		assert_null(record_endpoint_parse(table[i][0], &e));
		assert_string_equal(e.host, table[i][1]);
		assert_null(record_endpoint_parse(record_endpoint_format(&e, text), &again));
		assert_true(record_endpoint_equal(&e, &again));
	}
	/* The longest name, and one letter more. */
	memset(name, 'a', sizeof(name));
	strcpy(name + ENDPOINT_HOST_MAX, ":65535");
	assert_null(record_endpoint_parse(name, &e));
	assert_string_equal(record_endpoint_format(&e, text), name);
	memset(name, 'a', ENDPOINT_HOST_MAX + 1);
	strcpy(name + ENDPOINT_HOST_MAX + 1, ":65535");
	assert_string_equal(record_endpoint_parse(name, &e),
			    "the name is longer than 253 characters");
	assert_string_equal(record_endpoint_format(&e, text), "");
}

static void nodes_stay_in_order(void **state)
{
	static const char *const names[] = {"m", "a", "z", "k", "b"};
	struct nodes s = {NULL, 0, 0};
	struct node_record r = {.name = ""}, self = {.name = "c", .port4 = 9};
	const struct node_record **all;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		snprintf(r.name, sizeof(r.name), "%s", names[i]);
		r.port4 = (uint16_t)i;
		assert_int_equal(nodes_set(&s, names[i], &r), 0);
	}
	for (size_t i = 1; i < s.n; i++)
		assert_true(strcmp(s.all[i - 1]->name, s.all[i]->name) < 0);
	assert_int_equal(nodes_find(&s, "k")->port4, 3);
	assert_null(nodes_find(&s, "c"));
	all = nodes_with(&s, &self);
	assert_int_equal(nodes_count_with(&s, "c"), 6);
	assert_string_equal(all[2]->name, "c");
	assert_string_equal(all[5]->name, "z");
	free(all);
	snprintf(self.name, sizeof(self.name), "k");
	all = nodes_with(&s, &self);
	assert_int_equal(nodes_count_with(&s, "k"), 5);
	assert_ptr_equal(all[2], &self);
	free(all);
	assert_int_equal(nodes_set(&s, "a", NULL), 0);
	assert_int_equal(nodes_set(&s, "a", NULL), 0);
	assert_int_equal(s.n, 4);
	assert_string_equal(s.all[0]->name, "b");
	nodes_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_records_are_read),
		cmocka_unit_test(few_members_are_enough_and_unknown_ones_are_ignored),
		cmocka_unit_test(an_invalid_key_is_no_key),
		cmocka_unit_test(invalid_members_are_named),
		cmocka_unit_test(an_endpoint_is_read_in_each_form),
		cmocka_unit_test(nodes_stay_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
