/* SPDX-License-Identifier: Apache-2.0 */
/* The plan of a tunnel: Calico's rules for peers, allowed IPs and routes. */
#include "plan/plan.h"
#include "records.h"

static struct world world;
static struct settings settings;
static struct registry_node admitted[MAX_NODES];

static int setup(void **state)
{
	(void)state;
	memset(&settings, 0, sizeof(settings));
	memset(&admitted, 0, sizeof(admitted));
	settings.port4 = 51820;
	settings.port6 = 51821;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_fini(&world);
	return 0;
}

/* Each node is its own peer, except that `carrier` is the peer for node `shared`. */
static struct plan make_with(int family, const char *self, size_t shared, size_t carrier)
{
	const struct plan_input in = {
		.family = family,
		.self = self,
		.nodes = admitted,
		.n_nodes = world.n,
		.settings = &settings,
	};
	struct plan p;

	for (size_t i = 0; i < world.n; i++) {
		admitted[i].record = world.nodes[i];
		admitted[i].peer[0] = admitted[i].peer[1] = i;
	}
	admitted[shared].peer[family == AF_INET6] = carrier;
	assert_int_equal(plan_make(&in, &p), 0);
	return p;
}

static struct plan make(int family, const char *self)
{
	return make_with(family, self, 0, 0);
}

/* `wanted`: "10.1.0.0/16:b" for each range, with its peer's name, or "throw" if it has no peer. */
static void assert_ranges(const struct plan *p, const char *wanted)
{
	char got[1024] = "", range[CIDR_TEXT];

	for (size_t i = 0; i < p->n_ranges; i++) {
		const struct plan_range *r = &p->ranges[i];

		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s:%s%s", i ? " " : "",
			 cidr_format(&r->cidr, true, range),
			 r->closed		   ? "closed"
			 : r->peer == PLAN_NO_PEER ? "throw"
						   : p->peers[r->peer].node->name,
			 r->host ? "(host)" : "");
	}
	assert_string_equal(got, wanted);
}

static void peers_need_a_key_and_an_address(void **state)
{
	struct plan p;

	(void)state;
	add(&world, "a", "172.18.0.1", 1, "10.0.0.0/24,fd00:0::/64");
	add(&world, "b", "172.18.0.2", 2, "10.0.1.0/24,fd00:1::/64");
	add(&world, "c", "172.18.0.3", 0, "10.0.2.0/24");
	add(&world, "d", "", 4, "10.0.3.0/24");
	p = make(AF_INET, "a");
	assert_ranges(&p, "10.0.0.0/24:throw 10.0.1.0/24:b 10.0.2.0/24:throw 10.0.3.0/24:throw");
	assert_int_equal(p.n_peers, 1);
	assert_int_equal(ntohs(p.peers[0].endpoint.to.v4.sin_port), 51820);
	assert_int_equal(p.peers[0].n_allowed, 1);
	plan_fini(&p);
	/* The tunnel for IPv6 pods needs nodes with IPv6 addresses. */
	p = make(AF_INET6, "a");
	assert_int_equal(p.n_peers, 0);
	assert_ranges(&p, "fd00::/64:throw fd00:1::/64:throw");
	plan_fini(&p);
	assert_int_equal(cidr_parse_address("fd00:18::2", &world.records[1].address6), 0);
	world.records[1].port6 = 7;
	p = make(AF_INET6, "a");
	assert_int_equal(ntohs(p.peers[0].endpoint.to.v6.sin6_port), 7);
	assert_ranges(&p, "fd00::/64:throw fd00:1::/64:b");
	plan_fini(&p);
}

static void a_peer_may_be_reached_elsewhere(void **state)
{
	struct endpoint endpoints[3] = {{.from_ifindex = 0}};
	const struct plan_input in = {
		.family = AF_INET,
		.self = "a",
		.nodes = admitted,
		.n_nodes = 3,
		.settings = &settings,
		.endpoints = endpoints,
	};
	struct cidr outside;
	struct plan p;

	(void)state;
	add(&world, "a", "172.18.0.1", 1, "10.0.0.0/24");
	add(&world, "b", "172.18.0.2", 2, "10.0.1.0/24");
	add(&world, "c", "", 3, "10.0.2.0/24");
	for (size_t i = 0; i < world.n; i++)
		admitted[i] = (struct registry_node){.record = world.nodes[i], .peer = {i, i}};
	set_address(&outside, "2001:db8::1");
	endpoints[1] = endpoints[2] = plan_endpoint(&outside, 4500);
	assert_null(record_endpoint_parse("[2001:db8::1]:4500", &world.records[1].endpoint4));
	assert_int_equal(plan_make(&in, &p), 0);
	/* An endpoint is no address: it makes no peer. Its name may not be found after a restart. */
	assert_ranges(&p, "10.0.0.0/24:throw 10.0.1.0/24:b 10.0.2.0/24:throw");
	assert_int_equal(endpoint_port(&p.peers[0].endpoint), 4500);
	outside = endpoint_address(&p.peers[0].endpoint);
	assert_int_equal(outside.family, AF_INET6);
	plan_fini(&p);
	*world.records[1].endpoint4.host = 0;
	assert_int_equal(plan_make(&in, &p), 0);
	assert_int_equal(endpoint_port(&p.peers[0].endpoint), 51820);
	plan_fini(&p);
}

static void a_key_that_two_claim_is_one_peer(void **state)
{
	struct plan p;

	(void)state;
	add(&world, "a", "172.18.0.1", 1, "10.0.0.0/24");
	add(&world, "b", "172.18.0.2", 7, "10.0.1.0/24");
	add(&world, "c", "172.18.0.3", 7, "10.0.2.0/24");
	p = make_with(AF_INET, "a", 2, 1);
	assert_ranges(&p, "10.0.0.0/24:throw 10.0.1.0/24:b 10.0.2.0/24:b");
	assert_int_equal(p.n_peers, 1);
	assert_int_equal(p.peers[0].n_allowed, 2);
	plan_fini(&p);
}

static void contested_ranges_have_no_owner(void **state)
{
	struct plan_input in = {.family = AF_INET, .self = "a", .settings = &settings};
	struct registry_range contested = {.name = "b"};
	struct plan p;

	(void)state;
	assert_int_equal(cidr_parse("10.0.3.0/24", &contested.cidr), 0);
	in.contested = &contested;
	in.n_contested = 1;
	assert_int_equal(plan_make(&in, &p), 0);
	assert_ranges(&p, "10.0.3.0/24:throw");
	assert_int_equal(p.ranges[0].owner, PLAN_OTHER);
	assert_string_equal(p.ranges[0].name, "b");
	plan_fini(&p);
	/* If a claimant has a key, nothing for the range leaves in plain, except to nodes in it. */
	contested.closed = true;
	add(&world, "a", "172.18.0.1", 1, "10.0.0.0/24");
	add(&world, "c", "10.0.3.7", 3, "10.0.3.128/25");
	for (size_t i = 0; i < world.n; i++)
		admitted[i] = (struct registry_node){.record = world.nodes[i], .peer = {i, i}};
	in.nodes = admitted;
	in.n_nodes = world.n;
	assert_int_equal(plan_make(&in, &p), 0);
	assert_ranges(&p,
		      "10.0.0.0/24:throw 10.0.3.0/24:closed 10.0.3.7:throw(host) 10.0.3.128/25:c");
	plan_fini(&p);
	settings.host_encryption = true;
	assert_int_equal(plan_make(&in, &p), 0);
	assert_ranges(&p, "10.0.0.0/24:throw 10.0.3.0/24:closed 10.0.3.7:c(host) 10.0.3.128/25:c");
	plan_fini(&p);
	settings.host_encryption = false;
	/* A node whose key was refused. */
	in.n_contested = 0;
	set_key(&world.records[1], 0);
	admitted[1].closed[0] = true;
	assert_int_equal(plan_make(&in, &p), 0);
	assert_ranges(&p, "10.0.0.0/24:throw 10.0.3.128/25:closed");
	plan_fini(&p);
}

static void tunnel_addresses(void **state)
{
	char text[CIDR_TEXT];
	struct plan p;

	(void)state;
	add(&world, "a", "172.18.0.1", 1, "10.0.0.64/26,fd00::/64");
	add(&world, "b", "172.18.0.2", 2, "10.0.1.0/24");
	/* The tunnel's address is the first address of the first range, and needs no route. */
	p = make(AF_INET, "a");
	assert_string_equal(cidr_format(&p.address, true, text), "10.0.0.64");
	assert_ranges(&p, "10.0.0.64/26:throw 10.0.1.0/24:b");
	plan_fini(&p);
	p = make(AF_INET6, "a");
	assert_string_equal(cidr_format(&p.address, true, text), "fd00::");
	plan_fini(&p);
	/* An assigned address outside the ranges is routed and allowed. */
	assert_int_equal(cidr_parse_address("192.168.7.7", &world.records[1].tunnel4), 0);
	assert_int_equal(cidr_parse_address("192.168.7.8", &world.records[0].tunnel4), 0);
	p = make(AF_INET, "a");
	assert_string_equal(cidr_format(&p.address, true, text), "192.168.7.8");
	assert_ranges(&p, "10.0.0.64/26:throw 10.0.1.0/24:b 192.168.7.7:b 192.168.7.8:throw");
	assert_int_equal(p.peers[0].n_allowed, 2);
	plan_fini(&p);
	/* Without pods there is no address. */
	world.records[0].n_pod_cidrs = 0;
	world.records[0].tunnel4.family = AF_UNSPEC;
	p = make(AF_INET, "a");
	assert_int_equal(p.address.family, AF_UNSPEC);
	plan_fini(&p);
}

static void host_encryption_includes_node_addresses(void **state)
{
	char text[CIDR_TEXT];
	struct plan p;

	(void)state;
	settings.host_encryption = true;
	add(&world, "a", "172.18.0.1", 1, "10.0.0.0/24");
	add(&world, "b", "172.18.0.2", 2, "10.0.1.0/24");
	add(&world, "c", "172.18.0.3", 0, "10.0.2.0/24");
	p = make(AF_INET, "a");
	assert_ranges(&p, "10.0.0.0/24:throw 10.0.1.0/24:b 10.0.2.0/24:throw 172.18.0.2:b(host)");
	assert_string_equal(cidr_format(&p.address, true, text), "172.18.0.1");
	plan_fini(&p);
	/* Packets to an address that another node also claims are not sent into the tunnel. */
	admitted[1].host_refused[0] = true;
	p = make(AF_INET, "a");
	assert_ranges(&p, "10.0.0.0/24:throw 10.0.1.0/24:b 10.0.2.0/24:throw");
	plan_fini(&p);
}

static void no_other_nodes(void **state)
{
	struct plan p;

	(void)state;
	p = make(AF_INET, "a");
	assert_int_equal(p.n_peers + p.n_ranges, 0);
	plan_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(peers_need_a_key_and_an_address, setup, teardown),
		cmocka_unit_test_setup_teardown(a_peer_may_be_reached_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(a_key_that_two_claim_is_one_peer, setup, teardown),
		cmocka_unit_test_setup_teardown(contested_ranges_have_no_owner, setup, teardown),
		cmocka_unit_test_setup_teardown(tunnel_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(host_encryption_includes_node_addresses, setup,
						teardown),
		cmocka_unit_test_setup_teardown(no_other_nodes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
