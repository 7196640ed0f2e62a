/* SPDX-License-Identifier: Apache-2.0 */
/* The nftables table that is half of strict mode's first line: it is made, repaired and removed. */
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>

#include "check.h"
#include "machine.h"
#include "strict/ip_filter.h"
#include "strict/remote_ranges.h"

#define TABLE "inet podveil"

static struct ip_filter *filter;
static struct tagged_ranges ranges;

/* Sets n ranges of each family, none of which touch each other. */
static void remote(unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const unsigned int at = i * 2;
		const struct cidr four = {.family = AF_INET,
					  .prefix_len = 26,
					  .address = {(uint8_t)(10 + (at >> 18)),
						      (uint8_t)(at >> 10), (uint8_t)(at >> 2),
						      (uint8_t)((at & 3) << 6)}};
		const struct cidr six = {
			.family = AF_INET6,
			.prefix_len = 40,
			.address = {0xfd, 0, (uint8_t)(at >> 16), (uint8_t)(at >> 8), (uint8_t)at}};

		assert_int_equal(tagged_ranges_add(&ranges, &four, RANGE_REMOTE), 0);
		assert_int_equal(tagged_ranges_add(&ranges, &six, RANGE_REMOTE), 0);
	}
	tagged_ranges_sort(&ranges, RANGE_HERE);
}

/* Applies the filter. A tunnel's name looks like a pattern of nft(8); it is meant literally. */
static void apply(void)
{
	const struct ip_filter_want want = {.ranges = &ranges,
					    .drop_marked = true,
					    .tunnel4 = "wireguard.cali",
					    .tunnel6 = "a\"b*"};

	assert_int_equal(ip_filter_apply(filter, &want), 0);
	assert_true(ip_filter_in_place(filter));
}

static int setup(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET))
		return -1;
	filter = ip_filter_new();
	return filter ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	tagged_ranges_fini(&ranges);
	ip_filter_free(filter);
	return 0;
}

static void says(const char *command, const char *wanted)
{
	FILE *f = popen(command, "r");
	char text[256] = "";

	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = 0;
	pclose(f);
	assert_string_equal(text, wanted);
}

static void changes_are_repaired(void **state)
{
	static const char *const changes[] = {
		"nft flush ruleset",
		"nft delete table " TABLE,
		"nft 'add table " TABLE " { flags dormant; }'",
		"nft flush chain " TABLE " inward",
		"nft insert rule " TABLE " outward accept",
		"nft insert rule " TABLE " inward iifname eth0 accept",
		"nft delete rule " TABLE " marked handle $(nft -a list chain " TABLE
		" marked | sed -n 's/.* drop # handle //p')",
		"nft flush set " TABLE " remote4",
		"nft delete element " TABLE " remote6 '{ fd00::/40 }'",
		"nft 'add chain " TABLE " inward { policy drop; }'",
	};

	(void)state;
	remote(3);
	apply();
	assert_int_equal(ip_filter_repair(filter), 0);
	for (size_t i = 0; i < COUNT_OF(changes); i++) {
		assert_int_equal(system(changes[i]), 0);
		if (ip_filter_repair(filter) != 1)
			fail_msg("not noticed: %s", changes[i]);
		assert_true(ip_filter_in_place(filter));
		assert_int_equal(ip_filter_repair(filter), 0);
	}
	/* Foreign tables stay. */
	assert_int_equal(system("nft add table inet other"), 0);
	assert_int_equal(ip_filter_repair(filter), 0);
	assert_int_equal(ip_filter_remove(), 0);
	assert_false(ip_filter_exists());
	says("nft list tables", "table inet other\n");
	assert_int_equal(ip_filter_remove(), 0);
}

static void many_ranges(void **state)
{
	(void)state;
	remote(10000);
	apply();
	says("nft list set " TABLE " remote4 | grep -o '10[.0-9/]*' | wc -l", "10000\n");
	says("nft list set " TABLE " remote6 | grep -o 'fd00::*[0-9a-f:]*/40' | wc -l", "10000\n");
}

/* While a tunnel is being renamed, its packets pass under both names. */
static void a_tunnel_is_renamed(void **state)
{
	struct ip_filter_want want = {.ranges = &ranges, .tunnel4 = "old", .tunnel6 = "six"};
	static const char names[] = "nft list chain " TABLE
				    " inward | sed -n 's/.*iifname \"\\(.*\\)\" accept/\\1/p' | tr "
				    "'\\n' ' '";

	(void)state;
	remote(1);
	assert_int_equal(ip_filter_apply(filter, &want), 0);
	says(names, "lo old six ");
	strcpy(want.tunnel4, "new");
	assert_int_equal(ip_filter_apply(filter, &want), 0);
	says(names, "lo new old six ");
	assert_int_equal(ip_filter_remove_old(filter), 0);
	says(names, "lo new six ");
	want.ranges = NULL;
	assert_int_equal(ip_filter_apply(filter, &want), 0);
	assert_false(ip_filter_exists());
}

/* The chains run before connection tracking, and after all that changes a packet's destination. */
static void the_hooks_and_priorities(void **state)
{
	(void)state;
	remote(1);
	apply();
	says("nft list table " TABLE
	     " | sed -n 's/.*hook \\([a-z]*\\) priority \\([-0-9]*\\);.*/\\1 \\2/p' "
	     "| sort",
	     "forward -350\npostrouting 350\nprerouting -350\n");
	/* A packet with the mark: others are forwarded. */
	says("nft list chain " TABLE
	     " marked | grep -c 'meta mark & 0x00200000 != 0x00000000 .* drop'",
	     "1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(changes_are_repaired, setup, teardown),
		cmocka_unit_test_setup_teardown(many_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(the_hooks_and_priorities, setup, teardown),
		cmocka_unit_test_setup_teardown(a_tunnel_is_renamed, setup, teardown),
	};

	if (!own_machine("ip_filter"))
		return 0;
	if (!shell("command -v nft >/dev/null")) {
		printf("1..1\nok 1 - ip_filter # SKIP nft is not installed\n");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
