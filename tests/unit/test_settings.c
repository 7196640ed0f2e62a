/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: defaults, valid and invalid values of each, precedence, and what stays in force when
 * one is refused. */
#include <errno.h>

#include "check.h"
#include "plan/settings.h"

static int setup(void **state)
{
	*state = settings_new();
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	settings_free(*state);
	return 0;
}

static bool give(struct settings_stack *s, enum settings_layer layer, const char *name,
		 const char *value)
{
	settings_layer_begin(s, layer, "test");
	if (name)
		settings_layer_set(s, name, value);
	return settings_layer_end(s);
}

static void defaults_are_calicos(void **state)
{
	const struct settings *s = settings_get(*state);

	assert_false(s->enabled4 || s->enabled6 || s->host_encryption || s->strict);
	assert_true(s->metrics);
	assert_string_equal(s->interface4, "wireguard.cali");
	assert_string_equal(s->interface6, "wg-v6.cali");
	assert_int_equal(s->port4, 51820);
	assert_int_equal(s->port6, 51821);
	assert_int_equal(s->mtu4, 0);
	assert_int_equal(s->rule_priority, 99);
	assert_int_equal(s->keepalive, 0);
	assert_int_equal(s->route_table, 1);
	assert_int_equal(s->workers, 0);
	assert_int_equal(s->wire, WIRE_SOCKET);
	assert_null(settings_refused(*state));
}

static void good_and_bad_values(void **state)
{
	static const struct {
		const char *name, *value;
		bool good;
	} table[] = {
		{"wireguardEnabled", "true", true},
		{"wireguardEnabled", "off", true},
		{"wireguardEnabled", "TRUE", false},
		{"wireguardEnabled", "", false},
		{"wireguardEnabled", "2", false},
		{"wireguardInterfaceName", "wg0", true},
		{"wireguardInterfaceName", "", false},
		{"wireguardInterfaceName", "sixteen-chars-xx", false},
		{"wireguardInterfaceName", "a/b", false},
		{"wireguardListeningPort", "1", true},
		{"wireguardListeningPort", "65535", true},
		{"wireguardListeningPort", "0", false},
		{"wireguardListeningPort", "65536", false},
		{"wireguardListeningPort", "-1", false},
		{"wireguardListeningPort", " 1", false},
		{"wireguardListeningPort", "0x10", false},
		{"wireguardListeningPort", "51820x", false},
		{"wireguardListeningPort", "99999999999999999999", false},
		{"wireguardMTU", "0", true},
		{"wireguardMTU", "576", true},
		{"wireguardMTU", "575", false},
		{"wireguardMTUV6", "1280", true},
		{"wireguardMTUV6", "1279", false},
		{"wireguardRoutingRulePriority", "32764", true},
		{"wireguardRoutingRulePriority", "32765", false},
		{"wireguardKeepAlive", "0s", true},
		{"wireguardKeepAlive", "25s", true},
		{"wireguardKeepAlive", "1m30s", true},
		{"wireguardKeepAlive", "25", true},
		{"wireguardKeepAlive", "1h", true},
		{"wireguardKeepAlive", "1500ms", true},
		{"wireguardKeepAlive", "", false},
		{"wireguardKeepAlive", "s", false},
		{"wireguardKeepAlive", "-5s", false},
		{"wireguardKeepAlive", "1d", false},
		{"wireguardKeepAlive", "19h", false},
		{"wireguardKeepAlive", "1m30", false},
		{"podveilStrictCIDRs", "", true},
		{"podveilStrictCIDRs", "10.0.0.0/8,fd00::/8", true},
		{"podveilStrictCIDRs", "10.0.0.0/8, 11.0.0.0/8", true},
		{"podveilStrictCIDRs", "10.0.0.0/8,", false},
		{"podveilStrictCIDRs", "ten", false},
		{"podveilWire", "xdp", true},
		{"podveilWire", "XDP", false},
		{"podveilLowLatency", "true", true},
		{"podveilLowLatency", "low", false},
		{"podveilWorkers", "8", true},
		{"podveilWorkers", "9", false},
		{"podveilRouteTable", "252", true},
		{"podveilRouteTable", "253", false},
		{"podveilRouteTable", "255", false},
		{"podveilRouteTable", "256", true},
		{"podveilRouteTable", "4294967295", true},
		{"podveilRouteTable", "4294967296", false},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		settings_layer_begin(*state, SETTINGS_CLUSTER, "test");
		assert_int_equal(settings_layer_set(*state, table[i].name, table[i].value),
				 table[i].good ? 0 : -EINVAL);
		settings_layer_end(*state);
		assert_int_equal(settings_refused(*state) == NULL, table[i].good);
	}
}

static void give_number(void **state, const struct setting *s, uint64_t number, bool good)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	settings_layer_begin(*state, SETTINGS_CLUSTER, "test");
	assert_int_equal(settings_layer_set(*state, s->name, text), good ? 0 : -EINVAL);
	if (!good)
		assert_non_null(strstr(settings_refused(*state), s->name));
}

/* Each setting accepts the values in the table and no others. Its member can hold each number. */
static void each_line_of_the_table_holds(void **state)
{
	for (const struct setting *s = settings_table; s < settings_table + SETTINGS_COUNT; s++) {
		char range[SETTING_RANGE], words[64], *rest = words, *word;

		assert_true(strlen(setting_range(s, range)) > 0);
		assert_true(strlen(range) < SETTING_RANGE - 1);
		assert_string_equal(settings_text(*state, s->name, NULL), s->fallback);
		settings_layer_begin(*state, SETTINGS_CLUSTER, "test");
		assert_int_equal(settings_layer_set(*state, s->name, "{\"no\":1}"), -EINVAL);
		snprintf(words, sizeof(words), "%s", s->words ? s->words : "");
		while ((word = strsep(&rest, " ")) && *word)
			assert_int_equal(settings_layer_set(*state, s->name, word), 0);
		for (int i = 0; i < 2 && s->form == SETTING_NUMBER; i++) {
			if (i && !s->numbers[i].to)
				continue;
			assert_true(s->numbers[i].to >> (8 * s->size - 1) <= 1);
			give_number(state, s, s->numbers[i].from, true);
			give_number(state, s, s->numbers[i].to, true);
			give_number(state, s, s->numbers[i].to + 1, false);
			if (s->numbers[i].from)
				give_number(state, s, s->numbers[i].from - 1, false);
		}
	}
}

static void durations_are_seconds(void **state)
{
	static const struct {
		const char *text;
		uint16_t seconds;
	} table[] = {{"90", 90}, {"1m30s", 90}, {"1500ms", 2}, {"2h", 7200}, {"18h12m15s", 65535}};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		give(*state, SETTINGS_CLUSTER, "wireguardKeepAlive", table[i].text);
		assert_int_equal(settings_get(*state)->keepalive, table[i].seconds);
	}
}

static void lists_are_taken_apart(void **state)
{
	static char many[SETTINGS_MAX_RANGES * 11 + 8];
	const struct settings *s = settings_get(*state);

	assert_int_equal(s->strict_cidrs.n, 0);
	assert_true(give(*state, SETTINGS_CLUSTER, "podveilStrictCIDRs", "10.0.0.0/8, fd00::/8"));
	assert_int_equal(s->strict_cidrs.n, 2);
	assert_int_equal(s->strict_cidrs.all[0].prefix_len, 8);
	assert_int_equal(s->strict_cidrs.all[1].family, AF_INET6);
	/* The same value in another form is no change. */
	assert_false(give(*state, SETTINGS_CLUSTER, "podveilStrictCIDRs", "10.0.0.0/8,fd00::/8 "));
	assert_true(give(*state, SETTINGS_NODE, "podveilStrictCIDRs", ""));
	assert_int_equal(s->strict_cidrs.n, 0);
	assert_true(give(*state, SETTINGS_NODE, NULL, NULL));
	assert_int_equal(s->strict_cidrs.n, 2);
	/* As many ranges as there is room for, and then one more. */
	*many = 0;
	for (size_t i = 0; i < SETTINGS_MAX_RANGES; i++)
		strcat(many, i ? ",10.0.0.0/8" : "10.0.0.0/8");
	assert_true(give(*state, SETTINGS_NODE, "podveilStrictCIDRs", many));
	assert_int_equal(s->strict_cidrs.n, SETTINGS_MAX_RANGES);
	settings_layer_begin(*state, SETTINGS_NODE, "test");
	assert_int_equal(settings_layer_set(*state, "podveilStrictCIDRs", strcat(many, ",::/0")),
			 -EINVAL);
	settings_layer_end(*state);
}

static void later_layers_win(void **state)
{
	static char *environment[] = {"PODVEIL_WIREGUARDLISTENINGPORT=4",
				      "PODVEIL_STRICTMODE=true",
				      "PODVEIL_PODVEILWORKERS=3",
				      "PODVEIL_NOSUCH=1",
				      "OTHER=1",
				      "PODVEIL_WIREGUARDENABLED",
				      NULL};
	enum settings_layer from;

	assert_true(give(*state, SETTINGS_FLAG, "wireguardListeningPort", "5"));
	assert_true(settings_environment(*state, environment));
	assert_int_equal(settings_get(*state)->port4, 5);
	assert_int_equal(settings_get(*state)->workers, 3);
	assert_true(settings_get(*state)->strict);
	assert_false(give(*state, SETTINGS_NODE, "wireguardListeningPort", "3"));
	assert_false(give(*state, SETTINGS_CLUSTER, "wireguardListeningPort", "2"));
	assert_true(give(*state, SETTINGS_FLAG, NULL, NULL));
	assert_int_equal(settings_get(*state)->port4, 4);
	assert_string_equal(settings_text(*state, "wireguardListeningPort", &from), "4");
	assert_int_equal(from, SETTINGS_ENVIRONMENT);
	give(*state, SETTINGS_ENVIRONMENT, NULL, NULL);
	assert_int_equal(settings_get(*state)->port4, 3);
	give(*state, SETTINGS_NODE, NULL, NULL);
	assert_int_equal(settings_get(*state)->port4, 2);
	give(*state, SETTINGS_CLUSTER, NULL, NULL);
	assert_int_equal(settings_get(*state)->port4, 51820);
}

static void the_last_valid_one_stays(void **state)
{
	give(*state, SETTINGS_CLUSTER, "wireguardListeningPort", "1000");
	assert_false(give(*state, SETTINGS_CLUSTER, "wireguardListeningPort", "70000"));
	assert_int_equal(settings_get(*state)->port4, 1000);
	assert_non_null(strstr(settings_refused(*state), "wireguardListeningPort"));
	assert_non_null(strstr(settings_refused(*state), "1 to 65535"));
	/* Other settings of the same document are accepted. */
	settings_layer_begin(*state, SETTINGS_CLUSTER, "test");
	settings_layer_set(*state, "wireguardListeningPort", "x");
	settings_layer_set(*state, "wireguardMTU", "1400");
	assert_true(settings_layer_end(*state));
	assert_int_equal(settings_get(*state)->port4, 1000);
	assert_int_equal(settings_get(*state)->mtu4, 1400);
	assert_int_equal(settings_layer_set(*state, "noSuchSetting", "1"), -ENOENT);
	give(*state, SETTINGS_CLUSTER, NULL, NULL);
	assert_null(settings_refused(*state));
}

static void contradictions_are_refused_as_a_whole(void **state)
{
	give(*state, SETTINGS_CLUSTER, "wireguardMTU", "1400");
	settings_layer_begin(*state, SETTINGS_CLUSTER, "test");
	settings_layer_set(*state, "wireguardInterfaceNameV6", "wireguard.cali");
	settings_layer_set(*state, "wireguardMTU", "1300");
	assert_false(settings_layer_end(*state));
	assert_string_equal(settings_get(*state)->interface6, "wg-v6.cali");
	assert_int_equal(settings_get(*state)->mtu4, 1400);
	assert_string_equal(settings_refused(*state),
			    "test: wireguardInterfaceNameV6: \"wireguard.cali\" is not different "
			    "from wireguardInterfaceName");
	assert_false(give(*state, SETTINGS_NODE, "wireguardListeningPortV6", "51820"));
	assert_int_equal(settings_get(*state)->port6, 51821);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(defaults_are_calicos, setup, teardown),
		cmocka_unit_test_setup_teardown(good_and_bad_values, setup, teardown),
		cmocka_unit_test_setup_teardown(each_line_of_the_table_holds, setup, teardown),
		cmocka_unit_test_setup_teardown(durations_are_seconds, setup, teardown),
		cmocka_unit_test_setup_teardown(lists_are_taken_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(later_layers_win, setup, teardown),
		cmocka_unit_test_setup_teardown(the_last_valid_one_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(contradictions_are_refused_as_a_whole, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
