/* SPDX-License-Identifier: Apache-2.0 */
/* Address ranges: parsing, printing, order, containment. */
#include <sys/socket.h>

#include "base/cidr.h"
#include "check.h"

static void valid_ranges_are_parsed(void **state)
{
	static const char *const table[][2] = {
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"10.1.2.3/8", "10.0.0.0/8"},
		{"192.0.2.1", "192.0.2.1/32"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"fd00::/64", "fd00::/64"},
		{"fd00::1:2:3:4:5/64", "fd00:0:0:1::/64"},
		{"::/0", "::/0"},
		{"2001:DB8::1", "2001:db8::1/128"},
		{"10.244.0.65/26", "10.244.0.64/26"},
		{"fd00::ff/121", "fd00::80/121"},
	};
	char text[CIDR_TEXT];
	struct cidr c;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		assert_int_equal(cidr_parse(table[i][0], &c), 0);
		assert_string_equal(cidr_format(&c, false, text), table[i][1]);
	}
	assert_int_equal(cidr_parse("192.0.2.1", &c), 0);
	assert_string_equal(cidr_format(&c, true, text), "192.0.2.1");
}

static void invalid_ranges_are_refused(void **state)
{
	static const char *const table[] = {
		"",
		"/",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/8x",
		"10.0.0/8",
		"10.0.0.256/8",
		"fd00::/129",
		"fd00::1::2/64",
		"ten",
		"10.0.0.0/ 8",
		"10.0.0.0 /8",
		"10.0.0.0/+8",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999/64",
		"10.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0/8",
	};
	struct cidr c = {.family = 77};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		assert_int_not_equal(cidr_parse(table[i], &c), 0);
		assert_int_equal(c.family, 77);
	}
	assert_int_not_equal(cidr_parse_address("10.0.0.0/8", &c), 0);
}

static void order_and_containment(void **state)
{
	static const char *const sorted[] = {"0.0.0.0/0",   "10.0.0.0/8", "10.0.0.0/16",
					     "10.1.0.0/16", "::/0",	  "fd00::/8"};
	static const struct {
		const char *outer, *inner;
		bool contains;
	} table[] = {
		{"0.0.0.0/0", "10.0.0.0/8", true},	  {"10.0.0.0/8", "10.255.0.0/16", true},
		{"10.0.0.0/8", "10.0.0.0/8", true},	  {"10.0.0.0/16", "10.0.0.0/8", false},
		{"10.0.0.0/8", "11.0.0.0/16", false},	  {"::/0", "10.0.0.0/8", false},
		{"10.244.0.64/26", "10.244.0.127", true}, {"10.244.0.64/26", "10.244.0.128", false},
		{"fd00::/121", "fd00::7f", true},	  {"fd00::/121", "fd00::80", false},
	};
	struct cidr a, b;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sorted); i++)
		for (size_t k = 0; k < COUNT_OF(sorted); k++) {
			assert_int_equal(cidr_parse(sorted[i], &a), 0);
			assert_int_equal(cidr_parse(sorted[k], &b), 0);
			assert_int_equal(cidr_compare(&a, &b) < 0, i < k);
			assert_int_equal(cidr_compare(&a, &b) == 0, i == k);
		}
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		assert_int_equal(cidr_parse(table[i].outer, &a), 0);
		assert_int_equal(cidr_parse(table[i].inner, &b), 0);
		assert_int_equal(cidr_contains(&a, &b), table[i].contains);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid_ranges_are_parsed),
		cmocka_unit_test(invalid_ranges_are_refused),
		cmocka_unit_test(order_and_containment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
