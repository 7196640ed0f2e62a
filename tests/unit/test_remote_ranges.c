/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses strict mode considers those of remote pods, as routes and as intervals. */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

#include "check.h"
#include "strict/remote_ranges.h"

#define MAX_NODES 8

/* The cluster that a test describes, as node "a" sees it. */
static struct settings settings;
static struct node_record records[MAX_NODES];
static const struct node_record *nodes[MAX_NODES];
static size_t n_nodes;
static struct cidr store;
static struct registry_range closed = {.name = "b", .closed = true}; /* AF_UNSPEC: none */

static int setup(void **state)
{
	(void)state;
	memset(&settings, 0, sizeof(settings));
	memset(records, 0, sizeof(records));
	n_nodes = 0;
	closed.cidr.family = store.family = AF_UNSPEC;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	while (n_nodes)
		record_fini(&records[--n_nodes]);
	return 0;
}

/* `text`: ranges, separated by commas. Returns their number. */
static size_t parse(const char *text, struct cidr *out)
{
	char *copy = strdup(text), *at = copy, *one;
	size_t n = 0;

	while ((one = strsep(&at, ",")))
		if (*one)
			assert_int_equal(cidr_parse(one, &out[n++]), 0);
	free(copy);
	return n;
}

static void strict(const char *ranges)
{
	settings.strict_cidrs.n = parse(ranges, settings.strict_cidrs.all);
}

/* Adds a node; call it in the order of names. */
static void node(const char *name, const char *address, const char *ranges)
{
	struct node_record *r = &records[n_nodes];

	snprintf(r->name, sizeof(r->name), "%s", name);
	if (*address) {
		struct cidr a;

		assert_int_equal(cidr_parse_address(address, &a), 0);
		*(a.family == AF_INET ? &r->address4 : &r->address6) = a;
	}
	r->pod_cidrs = calloc(8, sizeof(*r->pod_cidrs));
	r->n_pod_cidrs = parse(ranges, r->pod_cidrs);
	record_normalise(r);
	nodes[n_nodes++] = r;
}

static struct tagged_ranges collect(void)
{
	static const int families[] = {AF_INET, AF_INET6};
	struct registry_node admitted[MAX_NODES] = {{.record = NULL}};
	struct tagged_ranges m = {NULL, 0, 0};
	struct plan plans[2];
	const struct remote_ranges_input in = {&settings, plans, 2, nodes, n_nodes, store};

	for (size_t i = 0; i < n_nodes; i++)
		admitted[i] = (struct registry_node){.record = nodes[i], .peer = {i, i}};
	for (size_t i = 0; i < 2; i++) {
		const struct plan_input of_family = {
			.family = families[i],
			.self = "a",
			.nodes = admitted,
			.n_nodes = n_nodes,
			.contested = &closed,
			.n_contested = closed.cidr.family == families[i],
			.settings = &settings,
		};

		assert_int_equal(plan_make(&of_family, &plans[i]), 0);
	}
	assert_int_equal(remote_ranges_collect(&in, &m), 0);
	plan_fini(&plans[0]);
	plan_fini(&plans[1]);
	return m;
}

/* `wanted`: "10.0.0.0/8 -10.1.0.0/16": unreachable ranges, and with - those that are not. */
static void assert_routes(const char *wanted)
{
	char text[1024] = "", range[CIDR_TEXT];
	struct tagged_ranges m = collect();

	remote_ranges_reduce(&m);
	for (size_t i = 0; i < m.n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s%s", i ? " " : "",
			 m.all[i].kind == RANGE_REMOTE ? "" : "-",
			 cidr_format(&m.all[i].range, true, range));
	assert_string_equal(text, wanted);
	tagged_ranges_fini(&m);
}

static void assert_intervals(int family, const char *wanted)
{
	struct tagged_ranges m = collect();
	struct nft_interval *all;
	char text[1024] = "", first[INET6_ADDRSTRLEN], last[INET6_ADDRSTRLEN];
	size_t n;

	assert_int_equal(remote_ranges_intervals(&m, family, &all, &n), 0);
	for (size_t i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s-%s", i ? " " : "",
			 inet_ntop(family, all[i].first, first, sizeof(first)),
			 inet_ntop(family, all[i].last, last, sizeof(last)));
	assert_string_equal(text, wanted);
	free(all);
	tagged_ranges_fini(&m);
}

static void all_but_our_own(void **state)
{
	(void)state;
	strict("10.244.0.0/16,fd00:10:244::/48");
	node("a", "172.18.0.2", "10.244.1.0/26,fd00:10:244:1::/64");
	node("b", "172.18.0.3", "10.244.2.0/26,fd00:10:244:2::/64");
	assert_routes("10.244.0.0/16 -10.244.1.0/26 fd00:10:244::/48 -fd00:10:244:1::/64");
	assert_intervals(AF_INET, "10.244.0.0-10.244.0.255 10.244.1.64-10.244.255.255");
	assert_intervals(AF_INET6, "fd00:10:244::-fd00:10:244:0:ffff:ffff:ffff:ffff "
				   "fd00:10:244:2::-fd00:10:244:ffff:ffff:ffff:ffff:ffff");
}

/* A range that another node publishes counts without a strict range and without a key. */
static void published_ranges_count(void **state)
{
	(void)state;
	node("a", "172.18.0.2", "10.244.1.0/26");
	node("b", "172.18.0.3", "10.244.2.0/26,10.244.2.64/26");
	node("c", "", "10.250.0.0/24");
	assert_routes("10.244.2.0/26 10.244.2.64/26 10.250.0.0/24");
	assert_intervals(AF_INET, "10.244.2.0-10.244.2.127 10.250.0.0-10.250.0.255");
	assert_intervals(AF_INET6, "");
}

/* An address of our block that is used on another node is remote; one of another node's block that
 * is used here is not. */
static void the_most_specific_decides(void **state)
{
	(void)state;
	strict("10.0.0.0/8");
	node("a", "172.18.0.2", "10.1.0.0/24,10.2.0.9");
	node("b", "172.18.0.3", "10.2.0.0/24,10.1.0.7");
	assert_routes("10.0.0.0/8 -10.1.0.0/24 10.1.0.7 -10.2.0.9");
	assert_intervals(AF_INET, "10.0.0.0-10.0.255.255 10.1.0.7-10.1.0.7 10.1.1.0-10.2.0.8 "
				  "10.2.0.10-10.255.255.255");
}

/* Pods and nodes share a subnet: nodes are reached, pods are not. */
static void nodes_within_the_ranges(void **state)
{
	(void)state;
	strict("10.0.0.0/16");
	node("a", "10.0.0.1", "10.0.1.0/28");
	node("b", "10.0.0.2", "10.0.2.0/28");
	node("c", "10.0.3.1", "10.0.3.0/28"); /* an address of its own range */
	assert_routes("10.0.0.0/16 -10.0.0.1 -10.0.0.2 -10.0.1.0/28 -10.0.3.1");
	assert_intervals(AF_INET, "10.0.0.0-10.0.0.0 10.0.0.3-10.0.0.255 10.0.1.16-10.0.3.0 "
				  "10.0.3.2-10.0.255.255");
	/* The same in IPv6. */
	strict("10.0.0.0/16,fd00::/32");
	assert_int_equal(cidr_parse_address("fd00:0:7::1", &records[1].address6), 0);
	assert_routes("10.0.0.0/16 -10.0.0.1 -10.0.0.2 -10.0.1.0/28 -10.0.3.1 fd00::/32 "
		      "-fd00:0:7::1");
	strict("10.0.0.0/16");
	/* With host encryption, nodes are still not pods. */
	settings.host_encryption = true;
	for (size_t i = 0; i < n_nodes; i++)
		memset(records[i].key4, (int)i + 1, sizeof(records[i].key4));
	assert_routes("10.0.0.0/16 -10.0.0.1 -10.0.0.2 -10.0.1.0/28 -10.0.3.1");
}

/* A strict range may be equal to our own range: that does not cut our pods off. */
static void our_range_wins_over_an_equal_one(void **state)
{
	struct tagged_ranges m = {NULL, 0, 0};
	struct cidr range;

	(void)state;
	assert_int_equal(cidr_parse("10.244.1.0/24", &range), 0);
	for (unsigned int ours = 0; ours <= 3; ours++) { /* 3: none of them */
		m.n = 0;
		for (unsigned int i = 0; i < 3; i++)
			tagged_ranges_add(&m, &range, i == ours ? RANGE_HERE : RANGE_REMOTE);
		tagged_ranges_sort(&m, RANGE_HERE);
		assert_int_equal(m.n, 1);
		assert_int_equal(m.all[0].kind, ours < 3 ? RANGE_HERE : RANGE_REMOTE);
	}
	tagged_ranges_fini(&m);
}

/* A node that claims a pod's address as its own opens no range. */
static void a_node_makes_no_exception_in_another_nodes_range(void **state)
{
	(void)state;
	node("a", "172.18.0.2", "10.244.1.0/26");
	node("b", "172.18.0.3", "10.244.2.0/26");
	node("evil", "10.244.2.7", "10.244.9.0/26");
	assert_routes("10.244.2.0/26 10.244.9.0/26");
	node("evil2", "10.244.2.8", "10.244.2.8"); /* nor with a range of only that address */
	assert_routes("10.244.2.0/26 10.244.9.0/26");
}

static void the_ends_of_the_address_space(void **state)
{
	(void)state;
	strict("0.0.0.0/0,::/0");
	node("a", "", "255.255.255.0/24,::/64");
	assert_routes("0.0.0.0/0 -255.255.255.0/24 ::/0 -::/64");
	assert_intervals(AF_INET, "0.0.0.0-255.255.254.255");
	assert_intervals(AF_INET6, "0:0:0:1::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	node("b", "", "255.255.255.255,ffff::/16");
	assert_intervals(AF_INET, "0.0.0.0-255.255.254.255 255.255.255.255-255.255.255.255");
	teardown(state);
	node("a", "", "ffff::/16");
	assert_intervals(AF_INET6, "::-fffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

/* For each address, both forms agree with a search for the longest prefix. */
static bool longest_says_remote(const struct tagged_ranges *m, const struct cidr *address)
{
	const struct tagged_range *best = NULL;

	for (size_t i = 0; i < m->n; i++)
		if (cidr_contains(&m->all[i].range, address) &&
		    (!best || m->all[i].range.prefix_len > best->range.prefix_len))
			best = &m->all[i];
	return best && best->kind == RANGE_REMOTE;
}

static void both_forms_agree(void **state)
{
	uint64_t seed = 20261128;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct tagged_ranges m = {NULL, 0, 0};
		struct nft_interval *all;
		struct tagged_ranges reduced = {NULL, 0, 0};
		size_t n;

		for (uint32_t i = draw(&seed) % 12; i--;) {
			struct cidr c = {.family = AF_INET,
					 .prefix_len = (uint8_t)(24 + draw(&seed) % 9),
					 .address = {10, 0, 0, (uint8_t)draw(&seed)}};
			const unsigned int kind = draw(&seed) % 2;

			c = cidr_masked(&c);
			assert_int_equal(tagged_ranges_add(&m, &c, kind), 0);
			assert_int_equal(tagged_ranges_add(&reduced, &c, kind), 0);
		}
		tagged_ranges_sort(&m, RANGE_HERE);
		tagged_ranges_sort(&reduced, RANGE_HERE);
		remote_ranges_reduce(&reduced);
		assert_int_equal(remote_ranges_intervals(&m, AF_INET, &all, &n), 0);
		for (unsigned int last = 0; last < 256; last++) {
			const struct cidr address = {.family = AF_INET,
						     .prefix_len = 32,
						     .address = {10, 0, 0, (uint8_t)last}};
			bool in = false;

			for (size_t i = 0; i < n; i++)
				in |= memcmp(all[i].first, address.address, 4) <= 0 &&
				      memcmp(address.address, all[i].last, 4) <= 0;
			assert_int_equal(in, longest_says_remote(&m, &address));
			assert_int_equal(in, longest_says_remote(&reduced, &address));
		}
		for (size_t i = 0; i + 1 < n; i++)
			assert_true(all[i].last[3] + 1 < all[i + 1].first[3]);
		free(all);
		tagged_ranges_fini(&m);
		tagged_ranges_fini(&reduced);
	}
}

/* A closed range does not cut off a node whose address is in it. */
static void nodes_in_closed_ranges_are_reachable(void **state)
{
	(void)state;
	assert_int_equal(cidr_parse("172.18.0.0/28", &closed.cidr), 0);
	node("a", "172.18.1.2", "10.244.1.0/26");
	node("b", "172.18.1.3", "");
	node("c", "172.18.0.4", "10.244.3.0/26");
	assert_routes("10.244.3.0/26 172.18.0.0/28 -172.18.0.4");
	assert_int_equal(cidr_parse("172.18.0.4", &closed.cidr), 0);
	assert_routes("10.244.3.0/26");
}

/* Pods and nodes have addresses of one subnet, and so have the store and others that are no pods. */
static void pods_of_the_nodes_subnet(void **state)
{
	(void)state;
	strict("172.18.0.0/16");
	settings.strict_exceptions.n = parse("172.18.0.2,172.18.255.0/28,172.18.2.2,172.18.2.0/31",
					     settings.strict_exceptions.all);
	assert_int_equal(cidr_parse_address("172.18.0.1", &store), 0);
	node("a", "172.18.0.10", "172.18.1.1/32,172.18.1.2/32");
	node("b", "172.18.0.11", "172.18.2.1/32,172.18.2.2/32");
	/* An exception does not open a pod's address. Around one, the pod's is more specific. */
	assert_routes("172.18.0.0/16 -172.18.0.1 -172.18.0.2 -172.18.0.10 "
		      "-172.18.0.11 -172.18.1.1 -172.18.1.2 -172.18.2.0/31 "
		      "172.18.2.1 -172.18.255.0/28");
	/* A node that says that it has the store's address as a pod's: it stays remote. */
	node("c", "172.18.0.12", "172.18.0.1/32");
	assert_routes("172.18.0.0/16 -172.18.0.2 -172.18.0.10 -172.18.0.11 "
		      "-172.18.0.12 -172.18.1.1 -172.18.1.2 -172.18.2.0/31 "
		      "172.18.2.1 -172.18.255.0/28");
	/* Outside of the strict ranges the store needs no exception. */
	strict("10.0.0.0/8");
	settings.strict_exceptions.n = 0;
	assert_int_equal(cidr_parse_address("192.0.2.1", &store), 0);
	assert_routes("10.0.0.0/8 172.18.0.1 172.18.2.1 172.18.2.2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_but_our_own, setup, teardown),
		cmocka_unit_test_setup_teardown(published_ranges_count, setup, teardown),
		cmocka_unit_test_setup_teardown(the_most_specific_decides, setup, teardown),
		cmocka_unit_test_setup_teardown(nodes_within_the_ranges, setup, teardown),
		cmocka_unit_test(our_range_wins_over_an_equal_one),
		cmocka_unit_test_setup_teardown(a_node_makes_no_exception_in_another_nodes_range,
						setup, teardown),
		cmocka_unit_test_setup_teardown(nodes_in_closed_ranges_are_reachable, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_ends_of_the_address_space, setup, teardown),
		cmocka_unit_test(both_forms_agree),
		cmocka_unit_test_setup_teardown(pods_of_the_nodes_subnet, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
