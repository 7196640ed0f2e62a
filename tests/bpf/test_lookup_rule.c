/* SPDX-License-Identifier: Apache-2.0 */
/* The rule of strict mode's first line: only a rule without any selector counts as ours. */
#include <sys/socket.h>

#include "check.h"
#include "machine.h"
#include "netlink/lookup_rule.h"

#define TABLE 20566

static size_t found(int family)
{
	struct lookup_rules rules;

	assert_int_equal(lookup_rules_find(family, TABLE, &rules), 0);
	return rules.n;
}

/* A rule with a selector decides about some packets only. It must not be taken for the rule that
 * decides about all. */
static void a_rule_with_a_selector_is_not_ours(void **state)
{
	static const char *const selectors[] = {
		"from 10.0.0.0/8", "to 10.0.0.0/8", "iif lo",	"oif lo",   "fwmark 1",
		"uidrange 0-0",	   "ipproto tcp",   "sport 80", "dport 80", "tos 0x10",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(selectors) / sizeof(*selectors); i++) {
		char command[128];

		snprintf(command, sizeof(command),
			 "ip rule add %s lookup %d protocol 92 priority 100", selectors[i], TABLE);
		assert_true(shell(command));
		if (found(AF_INET))
			fail_msg("taken for ours: %s", selectors[i]);
		assert_true(shell("ip rule del priority 100"));
	}
	assert_true(shell("ip rule add lookup 20566 priority 100")); /* without our protocol */
	assert_int_equal(found(AF_INET), 0);
}

static void ours_is_found_and_deleted(void **state)
{
	static const int families[] = {AF_INET, AF_INET6};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(lookup_rule_add(families[i], 101, TABLE), 0);
		assert_int_equal(found(families[i]), 1);
		assert_int_equal(lookup_rule_delete(families[i], 101, TABLE), 0);
		assert_int_equal(lookup_rule_delete(families[i], 101, TABLE), 0);
		assert_int_equal(found(families[i]), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_with_a_selector_is_not_ours),
		cmocka_unit_test(ours_is_found_and_deleted),
	};

	if (!own_machine("lookup_rule"))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
