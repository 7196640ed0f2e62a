/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doctor/firewall.h"

#include "check.h"

static struct firewall_view view(const char *rules)
{
	FILE *f = fmemopen((void *)rules, strlen(rules), "r");
	struct firewall_view v;

	assert_non_null(f);
	firewall_read(f, 51820, &v);
	fclose(f);
	return v;
}

static void rules_that_drop(void **state)
{
	static const char *const rules[] = {
		"\t\tudp dport 51820 drop\n",
		"\t\tiifname \"eth0\" udp dport { 53, 51800-51900 } counter packets 0 bytes 0 "
		"drop\n",
		"\t\tmeta l4proto udp udp dport 51820 counter packets 4 bytes 592 reject\n",
		"\t\tudp dport != 22 drop\n",
		"-A INPUT -i eth0 -p udp -m udp --dport 51820 -j DROP\n",
		"-A INPUT -p udp -m multiport --dports 53,51000:52000 -j REJECT\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rules); i++)
		assert_true(*view(rules[i]).dropping);
}

static void rules_that_do_not(void **state)
{
	static const char *const rules[] = {
		"\t\ttcp dport 51820 drop\n",
		"\t\tudp dport 51821 drop\n",
		"\t\tudp dport { 53, 51821-51900 } drop\n",
		"\t\tudp sport 51820 drop\n",
		"\t\tudp dport != 51820 drop\n",
		"\t\tip saddr 51.82.0.0/16 drop\n",
		"-A INPUT -p udp -m udp --dport 5182 -j DROP\n",
		"\t\tudp dport 51820 accept comment \"do not backdrop\"\n",
		"udp dport\n",
		"udp dport {",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rules); i++)
		assert_false(*view(rules[i]).dropping);
}

static void chains_that_drop(void **state)
{
	struct firewall_view v = view("table inet filter {\n\tchain input {\n"
				      "\t\ttype filter hook input priority filter; policy drop;\n"
				      "\t\tct state established,related accept\n\t}\n}\n");

	(void)state;
	assert_true(*v.closed && !v.accepted && !*v.dropping);
	v = view("\t\ttype filter hook input priority filter; policy drop;\n"
		 "\t\tudp dport 51820 accept\n");
	assert_true(*v.closed && v.accepted);
	v = view("\t\ttype filter hook forward priority filter; policy drop;\n");
	assert_false(*v.closed);
	assert_true(*view("*filter\n:INPUT DROP [0:0]\n").closed);
	assert_false(*view("*filter\n:INPUT ACCEPT [0:0]\n").closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_that_drop),
		cmocka_unit_test(rules_that_do_not),
		cmocka_unit_test(chains_that_drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
