/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of a tunnel: Calico's rules for peers, allowed IPs, routes and conflicts. */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>

#include "check.h"
#include "node/plan.h"

#define MAX_NODES 8

static struct node_record records[MAX_NODES];
static const struct node_record *nodes[MAX_NODES];
static size_t n;
static struct settings settings;

static int setup(void **state)
{
	(void)state;
	memset(records, 0, sizeof(records));
	memset(&settings, 0, sizeof(settings));
	settings.port4 = 51820;
	settings.port6 = 51821;
	n = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	while (n)
		record_fini(&records[--n]);
	return 0;
}

/* In the order of names; key 0: none. `ranges`: comma between. */
static struct node_record *add(const char *name, const char *address, uint8_t key,
			       const char *ranges)
{
	struct node_record *r = &records[n];
	char *copy = strdup(ranges), *at = copy, *one;

	snprintf(r->name, sizeof(r->name), "%s", name);
	if (*address) {
		struct cidr a;

		assert_int_equal(cidr_parse_address(address, &a), 0);
		*(a.family == AF_INET ? &r->address4 : &r->address6) = a;
	}
	memset(r->key4, key, sizeof(r->key4));
	memset(r->key6, key, sizeof(r->key6));
	r->pod_cidrs = calloc(8, sizeof(*r->pod_cidrs));
	while ((one = strsep(&at, ",")))
		if (*one)
			assert_int_equal(cidr_parse(one, &r->pod_cidrs[r->n_pod_cidrs++]), 0);
	free(copy);
	record_normalise(r);
	nodes[n++] = r;
	return r;
}

static struct plan make(int family, const char *self, const uint8_t *own_key)
{
	const struct plan_input in = {
		.family = family,
		.self = self,
		.nodes = nodes,
		.n_nodes = n,
		.settings = &settings,
		.own_key = own_key,
	};
	struct plan p;

	assert_int_equal(plan_make(&in, &p), 0);
	return p;
}

/* "10.1.0.0/16:b" for each range with its peer's name, "throw" where it has none. */
static void assert_ranges(const struct plan *p, const char *wanted)
{
	char got[1024] = "", range[CIDR_TEXT];

	for (size_t i = 0; i < p->n_ranges; i++) {
		const struct plan_range *r = &p->ranges[i];

		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s:%s%s", i ? " " : "",
			 cidr_format(&r->cidr, true, range),
			 r->peer == PLAN_NO_PEER ? "throw" : p->peers[r->peer].node->name,
			 r->host ? "(host)" : "");
	}
	assert_string_equal(got, wanted);
}

static void peers_need_a_key_and_an_address(void **state)
{
	struct plan p;

	(void)state;
	add("a", "172.18.0.1", 1, "10.0.0.0/24,fd00:0::/64");
	add("b", "172.18.0.2", 2, "10.0.1.0/24,fd00:1::/64");
	add("c", "172.18.0.3", 0, "10.0.2.0/24");
	add("d", "", 4, "10.0.3.0/24");
	p = make(AF_INET, "a", NULL);
	assert_ranges(&p, "10.0.0.0/24:throw 10.0.1.0/24:b 10.0.2.0/24:throw 10.0.3.0/24:throw");
	assert_int_equal(p.n_peers, 1);
	assert_int_equal(ntohs(p.peers[0].endpoint.to.v4.sin_port), 51820);
	assert_int_equal(p.peers[0].n_allowed, 1);
	assert_int_equal(p.n_conflicts, 0);
	plan_fini(&p);
	/* The tunnel for IPv6 pods goes from IPv6 address to IPv6 address. */
	p = make(AF_INET6, "a", NULL);
	assert_int_equal(p.n_peers, 0);
	assert_ranges(&p, "fd00::/64:throw fd00:1::/64:throw");
	plan_fini(&p);
	assert_int_equal(cidr_parse_address("fd00:18::2", &records[1].address6), 0);
	records[1].port6 = 7;
	p = make(AF_INET6, "a", NULL);
	assert_int_equal(ntohs(p.peers[0].endpoint.to.v6.sin6_port), 7);
	assert_ranges(&p, "fd00::/64:throw fd00:1::/64:b");
	plan_fini(&p);
}

static void a_key_that_two_claim_is_nobodys(void **state)
{
	const uint8_t mine[32] = {9};
	struct plan p;

	(void)state;
	add("a", "172.18.0.1", 0, "10.0.0.0/24");
	add("b", "172.18.0.2", 7, "10.0.1.0/24");
	add("c", "172.18.0.3", 7, "10.0.2.0/24");
	add("d", "172.18.0.4", 8, "10.0.3.0/24");
	p = make(AF_INET, "a", mine);
	assert_ranges(&p, "10.0.0.0/24:throw 10.0.1.0/24:throw 10.0.2.0/24:throw 10.0.3.0/24:d");
	assert_int_equal(p.n_conflicts, 1);
	assert_string_equal(p.conflicts[0].one->name, "b");
	assert_string_equal(p.conflicts[0].other->name, "c");
	assert_int_equal(p.conflicts[0].range.family, AF_UNSPEC);
	plan_fini(&p);
	/* Our own key, claimed by another: he is no peer, the others are. */
	memcpy(records[3].key4, mine, 32);
	memset(records[2].key4, 6, 32);
	p = make(AF_INET, "a", mine);
	assert_int_equal(p.n_peers, 2);
	assert_string_equal(p.conflicts[0].one->name, "a");
	assert_string_equal(p.conflicts[0].other->name, "d");
	plan_fini(&p);
}

static void a_range_that_two_claim(void **state)
{
	struct plan p;

	(void)state;
	add("a", "172.18.0.1", 1, "10.0.0.0/24");
	add("b", "172.18.0.2", 2, "10.0.1.0/24,10.9.0.0/16");
	add("c", "172.18.0.3", 3, "10.0.1.0/24,10.0.0.0/24,10.9.1.0/24");
	/* The first name has it, but ours is ours; a part of a range is its own. */
	p = make(AF_INET, "a", NULL);
	assert_ranges(&p, "10.0.0.0/24:throw 10.0.1.0/24:b 10.9.0.0/16:b 10.9.1.0/24:c");
	assert_int_equal(p.n_conflicts, 2);
	assert_int_equal(p.peers[1].n_allowed, 1);
	plan_fini(&p);
	p = make(AF_INET, "c", NULL);
	assert_ranges(&p, "10.0.0.0/24:throw 10.0.1.0/24:throw 10.9.0.0/16:b 10.9.1.0/24:throw");
	plan_fini(&p);
}

static void tunnel_addresses(void **state)
{
	char text[CIDR_TEXT];
	struct plan p;

	(void)state;
	add("a", "172.18.0.1", 1, "10.0.0.64/26,fd00::/64");
	add("b", "172.18.0.2", 2, "10.0.1.0/24");
	/* The first address of the first range, which the range covers. */
	p = make(AF_INET, "a", NULL);
	assert_string_equal(cidr_format(&p.address, true, text), "10.0.0.64");
	assert_ranges(&p, "10.0.0.64/26:throw 10.0.1.0/24:b");
	plan_fini(&p);
	p = make(AF_INET6, "a", NULL);
	assert_string_equal(cidr_format(&p.address, true, text), "fd00::");
	plan_fini(&p);
	/* Assigned from elsewhere: it is routed and allowed. */
	assert_int_equal(cidr_parse_address("192.168.7.7", &records[1].tunnel4), 0);
	assert_int_equal(cidr_parse_address("192.168.7.8", &records[0].tunnel4), 0);
	p = make(AF_INET, "a", NULL);
	assert_string_equal(cidr_format(&p.address, true, text), "192.168.7.8");
	assert_ranges(&p, "10.0.0.64/26:throw 10.0.1.0/24:b 192.168.7.7:b 192.168.7.8:throw");
	assert_int_equal(p.peers[0].n_allowed, 2);
	plan_fini(&p);
	/* No pods, no address. */
	records[0].n_pod_cidrs = 0;
	records[0].tunnel4.family = AF_UNSPEC;
	p = make(AF_INET, "a", NULL);
	assert_int_equal(p.address.family, AF_UNSPEC);
	plan_fini(&p);
}

static void host_encryption_takes_the_nodes_in(void **state)
{
	char text[CIDR_TEXT];
	struct plan p;

	(void)state;
	settings.host_encryption = true;
	add("a", "172.18.0.1", 1, "10.0.0.0/24");
	add("b", "172.18.0.2", 2, "10.0.1.0/24");
	add("c", "172.18.0.3", 0, "10.0.2.0/24");
	p = make(AF_INET, "a", NULL);
	assert_ranges(&p, "10.0.0.0/24:throw 10.0.1.0/24:b 10.0.2.0/24:throw 172.18.0.2:b(host)");
	assert_string_equal(cidr_format(&p.address, true, text), "172.18.0.1");
	plan_fini(&p);
}

static void nobody_at_all(void **state)
{
	struct plan p;

	(void)state;
	p = make(AF_INET, "a", NULL);
	assert_int_equal(p.n_peers + p.n_ranges + p.n_conflicts, 0);
	plan_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(peers_need_a_key_and_an_address, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_that_two_claim_is_nobodys, setup, teardown),
		cmocka_unit_test_setup_teardown(a_range_that_two_claim, setup, teardown),
		cmocka_unit_test_setup_teardown(tunnel_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(host_encryption_takes_the_nodes_in, setup,
						teardown),
		cmocka_unit_test_setup_teardown(nobody_at_all, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
