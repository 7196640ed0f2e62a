/* SPDX-License-Identifier: Apache-2.0 */
/* No node can claim what is another node's: what is accepted of records, what is refused, why. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hostile.h"
#include "plan/registry.h"
#include "records.h"

static struct world world;
static struct registry *registry;
static struct registry_input in;
static uint8_t own_key[32];
static struct cidr own[1];
static uint64_t now;

static int setup(void **state)
{
	(void)state;
	memset(own_key, 200, sizeof(own_key));
	in = (struct registry_input){.self = "me", .own_keys = {own_key, own_key}, .own = own};
	registry = registry_new(NULL);
	now = 1000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	registry_free(registry);
	world_fini(&world);
	return 0;
}

static void review(void)
{
	in.nodes = world.nodes;
	in.n_nodes = world.n;
	assert_int_equal(registry_review(registry, &in), 0);
}

static const struct registry_node *node(const char *name)
{
	size_t n;
	const struct registry_node *all = registry_nodes(registry, &n);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i].record->name, name))
			return &all[i];
	fail_msg("%s is not there", name);
	return NULL;
}

static uint8_t key_of(const char *name)
{
	return node(name)->record->key4[0];
}

/* A device reports that the peer with this key has a session, or does not answer. */
static void see(const char *name, uint8_t key, bool session, bool unanswered)
{
	uint8_t whole[32];
	const struct registry_observation s = {
		.node = name,
		.family = REGISTRY_IPV4,
		.key = whole,
		.session = session,
		.unanswered = unanswered,
		.now = now,
	};

	memset(whole, key, sizeof(whole));
	registry_observe(registry, &s);
}

static void prove(const char *name, uint8_t key)
{
	review();
	see(name, key, true, false);
	review();
}

/* `wanted`: the ranges that were accepted for the node, as in "10.0.0.0/24,10.1.0.0/24". */
static void assert_admitted(const char *name, const char *wanted)
{
	const struct node_record *r = node(name)->record;
	char got[512] = "", range[CIDR_TEXT];

	for (size_t i = 0; i < r->n_pod_cidrs; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i ? "," : "",
			 cidr_format(&r->pod_cidrs[i], true, range));
	assert_string_equal(got, wanted);
}

/* `wanted`: "range_held b a|...": reason, node of the refused claim, node that it contradicts. */
static void assert_refusals(const char *wanted)
{
	size_t n;
	const struct registry_refusal *all = registry_refusals(registry, &n);
	char got[1024] = "";

	for (size_t i = 0; i < n; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s %s%s%s", i ? "|" : "",
			 registry_reason_name(all[i].reason), all[i].node, all[i].other ? " " : "",
			 all[i].other ? all[i].other : "");
	assert_string_equal(got, wanted);
}

/* `a` with key 1 and `b` with key 2, and ourselves. */
static void add_two_nodes(const char *ranges_of_a, const char *ranges_of_b)
{
	add(&world, "a", "172.18.0.2", 1, ranges_of_a);
	add(&world, "b", "172.18.0.3", 2, ranges_of_b);
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
}

/* `wanted`: "10.0.0.0/24 10.0.1.0/24 closed": contested ranges; "closed": no plaintext to it. */
static void assert_contested(const char *wanted)
{
	size_t n;
	const struct registry_range *all = registry_contested(registry, &n);
	char got[512] = "", range[CIDR_TEXT];

	for (size_t i = 0; i < n; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s%s", i ? " " : "",
			 cidr_format(&all[i].cidr, true, range), all[i].closed ? " closed" : "");
	assert_string_equal(got, wanted);
}

/* --- what is never valid --- */

static void what_no_pod_has_is_refused(void **state)
{
	static const char *const never[] = {
		"0.0.0.0/0", "0.0.0.0/1",	"128.0.0.0/1",	 "127.0.0.0/8",
		"127.0.0.1", "169.254.0.0/16",	"224.0.0.0/4",	 "255.255.255.255",
		"0.0.0.0",   "169.254.169.254", "::/0",		 "::1",
		"::",	     "fe80::/10",	"fe80::1",	 "ff02::1",
		"8000::/1",  "::ffff:10.0.0.1", "fd00:ec2::254", "126.0.0.0/7",
	};

	(void)state;
	add(&world, "a", "172.18.0.2", 1, "");
	add(&world, "me", "172.18.0.1", 0, "10.0.0.0/24");
	for (size_t i = 0; i < COUNT_OF(never); i++) {
		set_ranges(&world.records[0], never[i]);
		review();
		assert_admitted("a", "");
		assert_refusals("never_pods a");
		assert_int_equal(registry_counts(registry)[REGISTRY_NEVER_PODS], 1);
	}
	/* The same for our own record, and for a tunnel's address. */
	set_ranges(&world.records[0], "10.0.1.0/24");
	set_ranges(&world.records[1], "0.0.0.0/0");
	set_address(&world.records[0].tunnel4, "127.0.0.1");
	review();
	assert_refusals("never_pods a|never_pods me");
	assert_admitted("a", "10.0.1.0/24");
	assert_int_equal(node("a")->record->tunnel4.family, AF_UNSPEC);
	/* Ranges that some clouds give to pods are valid. */
	set_ranges(&world.records[0], "100.64.0.0/10,240.0.0.0/5,fd00:1::/64");
	world.records[0].tunnel4.family = AF_UNSPEC;
	set_ranges(&world.records[1], "10.0.0.0/24");
	review();
	assert_refusals("");
}

static void no_range_contains_a_node_or_the_store(void **state)
{
	(void)state;
	add(&world, "a", "172.18.0.2", 1, "172.18.0.0/16");
	add(&world, "b", "172.18.0.3", 2, "172.18.0.2,10.0.2.0/24");
	add(&world, "me", "172.18.0.1", 0, "10.0.0.0/24");
	set_address(&in.store, "192.0.2.7");
	set_address(&own[0], "192.0.2.200"); /* an address of our uplink */
	in.n_own = 1;
	review();
	assert_admitted("a", "");
	assert_admitted("b", "10.0.2.0/24");
	assert_refusals("node_address a me|node_address b a");
	set_ranges(&world.records[0], "192.0.2.0/24,10.0.1.0/24");
	set_ranges(&world.records[1], "192.0.2.7");
	review();
	assert_admitted("a", "10.0.1.0/24");
	assert_refusals("node_address a|node_address b");
	/* If the range is assigned to the node, the store may be a pod there. */
	world.records[1].assigned = true;
	review();
	assert_refusals("node_address a");
	set_ranges(&world.records[1], "192.0.2.128/25");
	review();
	assert_refusals("node_address a|node_address b");
}

static void an_address_cannot_take_away_a_range(void **state)
{
	char text[CIDR_TEXT];

	(void)state;
	add(&world, "a", "172.18.0.2", 1, "10.0.1.0/24");
	add(&world, "b", "172.18.0.3", 2, "10.0.2.0/24");
	add(&world, "me", "172.18.0.1", 0, "10.0.0.0/24");
	prove("a", 1);
	prove("b", 2);
	/* b claims an address among a's pods as its own. */
	set_address(&world.records[1].address4, "10.0.1.7");
	review();
	assert_admitted("a", "10.0.1.0/24");
	assert_refusals("in_pods b a");
	assert_string_equal(cidr_format(&node("b")->record->address4, true, text), "172.18.0.3");
	/* For our own address, we know better. */
	set_address(&world.records[1].address4, "172.18.0.3");
	set_address(&world.records[2].address4, "10.0.1.7");
	review();
	assert_string_equal(cidr_format(&node("me")->record->address4, true, text), "10.0.1.7");
}

/* --- ranges --- */

static void who_proved_a_range_keeps_it(void **state)
{
	static const char *const claims[] = {"10.0.1.0/24", "10.0.1.7", "10.0.1.128/25",
					     "10.0.0.0/16", "10.0.1.0/24,10.0.1.5"};

	(void)state;
	add(&world, "a", "172.18.0.2", 1, "10.9.0.0/24"); /* its name is the first */
	add(&world, "b", "172.18.0.3", 2, "10.0.1.0/24");
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	prove("a", 1);
	prove("b", 2);
	for (size_t i = 0; i < COUNT_OF(claims); i++) {
		set_ranges(&world.records[0], claims[i]);
		review();
		see("a", 1, true, false);
		review();
		assert_admitted("b", "10.0.1.0/24");
		assert_admitted("a", "");
		assert_int_equal(registry_refusals(registry, &(size_t){0})->reason,
				 REGISTRY_RANGE_HELD);
		/* The part of a claim outside the holder's range gets no plaintext either. */
		assert_contested(strstr(claims[i], "/16") ? "10.0.0.0/16 closed" : "");
	}
	/* Nor can the address of its tunnel be in the range, in any form. */
	set_ranges(&world.records[0], "");
	set_address(&world.records[0].tunnel4, "10.0.1.9");
	review();
	assert_refusals("range_held a b");
	assert_int_equal(node("a")->record->tunnel4.family, AF_UNSPEC);
}

/* A device may still have a session with a key that is no longer in the record. */
static void another_key_proves_nothing(void **state)
{
	(void)state;
	add_two_nodes("10.0.1.0/24", "10.0.2.0/24");
	prove("a", 99);
	set_ranges(&world.records[1], "10.0.1.0/24");
	review();
	assert_refusals("range_contested a b|range_contested b a");
}

static void what_nobody_proved_is_nobodys(void **state)
{
	(void)state;
	add_two_nodes("10.0.1.0/24", "10.0.1.7,10.0.2.0/24");
	review();
	assert_admitted("a", "");
	assert_admitted("b", "10.0.2.0/24");
	assert_refusals("range_contested a b|range_contested b a");
	assert_contested("10.0.1.0/24 closed 10.0.1.7 closed");
	assert_string_equal(registry_contested(registry, &(size_t){0})->name, "a");
	/* That both keys answer does not decide it. */
	see("a", 1, true, false);
	see("b", 2, true, false);
	review();
	assert_admitted("a", "");
	/* A range is closed to plaintext only if a claimant has a key. */
	set_key(&world.records[0], 0);
	world.records[0].stopped4 = world.records[1].stopped4 = true;
	review();
	assert_contested("10.0.1.0/24 10.0.1.7 closed");
	set_key(&world.records[1], 0);
	review();
	assert_contested("10.0.1.0/24 10.0.1.7");
	set_key(&world.records[0], 1);
	review();
	assert_contested("10.0.1.0/24 closed 10.0.1.7 closed");
	/* One of the two gives it up. */
	set_ranges(&world.records[1], "10.0.2.0/24");
	review();
	assert_admitted("a", "10.0.1.0/24");
	assert_refusals("");
	assert_contested("");
}

/* The record of a node that no longer exists does not block its successor's range for ever. */
static void who_is_gone_contests_nothing(void **state)
{
	(void)state;
	add(&world, "gone", "172.18.0.2", 1, "10.0.1.0/24");
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	add(&world, "new", "172.18.0.3", 2, "10.0.1.0/24");
	review();
	see("new", 2, true, false);
	see("gone", 1, false, true);
	registry_needs_review(registry);
	review();
	assert_admitted("new", "");
	now += REGISTRY_SILENCE_S;
	see("gone", 1, false, true);
	assert_true(registry_needs_review(registry));
	review();
	assert_admitted("new", "10.0.1.0/24");
	assert_refusals("range_held gone new");
	assert_contested("");
	/* Now it is proved. */
	see("new", 2, true, false);
	see("gone", 1, true, false);
	review();
	assert_admitted("new", "10.0.1.0/24");
}

/* Whichever node is right, a conflict does not make encrypted traffic leave in plain. */
static void a_conflict_never_ends_in_plaintext(void **state)
{
	(void)state;
	add(&world, "a", "172.18.0.2", 1, "10.0.1.0/24");
	add(&world, "b", "10.0.1.7", 2, "10.0.1.9,10.0.2.0/24"); /* its address is among a's pods */
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	review();
	assert_refusals("node_address a b|range_contested b a");
	assert_admitted("b", "10.0.2.0/24");
	assert_contested("10.0.1.0/24 closed 10.0.1.9 closed");
	/* But a range with our own address or the store's stays open, because we need it. */
	set_address(&in.store, "10.0.1.200");
	review();
	assert_contested("");
	in.store.family = AF_UNSPEC;
	/* New nodes are closed if their address was another node's pod, or their key its key. */
	set_address(&world.records[1].address4, "172.18.0.3");
	set_ranges(&world.records[1], "172.18.0.9,10.0.2.0/24");
	prove("a", 1);
	prove("b", 2);
	add(&world, "c", "172.18.0.9", 3, "10.0.3.0/24");
	add(&world, "d", "172.18.0.5", 2, "10.0.4.0/24");
	add(&world, "e", "172.18.0.9", 0, "10.0.5.0/24");
	review();
	assert_int_equal(key_of("d"), 0);
	assert_true(node("d")->closed[REGISTRY_IPV4]);
	assert_true(node("c")->closed[REGISTRY_IPV4]);
	assert_false(node("a")->closed[REGISTRY_IPV4]);
	assert_false(node("e")->closed[REGISTRY_IPV4]); /* it never had a key */
}

static void our_own_is_ours(void **state)
{
	(void)state;
	add(&world, "a", "172.18.0.2", 1, "10.7.0.0/24,10.7.0.5,10.0.0.0/8,10.99.0.0/24");
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	review();
	assert_admitted("me", "10.7.0.0/24");
	assert_admitted("a", "10.99.0.0/24");
	/* A range that another node proved before we claimed it stays that node's. */
	prove("a", 1);
	set_ranges(&world.records[0], "10.99.0.0/24");
	set_ranges(&world.records[1], "10.0.0.0/8");
	review();
	assert_admitted("a", "10.99.0.0/24");
	assert_admitted("me", "10.0.0.0/8");
}

static void the_owner_of_a_range_may_give_of_it(void **state)
{
	struct node_record *a, *b;

	(void)state;
	a = add(&world, "a", "172.18.0.2", 1, "10.0.1.0/26");
	b = add(&world, "b", "172.18.0.3", 2, "10.0.1.7,10.0.2.0/26");
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/26");
	a->assigned = b->assigned = true;
	b->granted = calloc(1, sizeof(*b->granted));
	b->n_granted = 1;
	set_address(&b->granted[0], "10.0.1.7");
	prove("a", 1);
	assert_admitted("b", "10.0.1.7,10.0.2.0/26");
	assert_admitted("a", "10.0.1.0/26");
	/* A starting agent may learn of the grant later. */
	see("b", 2, true, false);
	b->n_granted = 0;
	b->assigned = a->assigned = false;
	review();
	assert_admitted("b", "10.0.1.7,10.0.2.0/26");
	assert_admitted("a", "10.0.1.0/26");
	b->n_granted = 1;
	b->assigned = a->assigned = true;
	/* The same for a tunnel's address, whichever node claims it first. */
	set_address(&b->tunnel4, "10.0.1.7");
	set_address(&b->overlays[0], "10.0.2.1");
	review();
	assert_refusals("");
	set_address(&b->tunnel4, "10.0.1.8");
	set_address(&b->overlays[0], "10.0.9.9");
	review();
	assert_refusals("not_assigned b|not_assigned b");
	assert_int_equal(node("b")->record->tunnel4.family, AF_UNSPEC);
}

static void what_is_assigned_beats_what_is_said(void **state)
{
	(void)state;
	add(&world, "a", "172.18.0.2", 1, "10.0.1.0/24");
	add(&world, "b", "172.18.0.3", 2, "10.0.1.0/24")->assigned = true;
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	review();
	assert_admitted("b", "10.0.1.0/24");
	assert_refusals("range_held a b");
	/* A grant by the owner of the block takes precedence over both. */
	world.records[0].assigned = true;
	world.records[0].granted = calloc(1, sizeof(struct cidr));
	world.records[0].n_granted = 1;
	world.records[0].granted[0] = world.records[0].pod_cidrs[0];
	review();
	assert_admitted("a", "10.0.1.0/24");
	assert_refusals("range_held b a");
}

/* --- keys --- */

static void a_victims_key_is_the_victims(void **state)
{
	(void)state;
	add_two_nodes("10.0.1.0/24", "10.0.2.0/24");
	prove("a", 1);
	prove("b", 2);
	set_key(&world.records[0], 2); /* it has the first name as well */
	review();
	assert_int_equal(key_of("b"), 2);
	assert_int_equal(node("b")->peer[0], 1);
	assert_admitted("b", "10.0.2.0/24");
	/* The claimant's own traffic continues as before. */
	assert_int_equal(key_of("a"), 1);
	assert_refusals("key_held a b|key_shared b a");
	/* The claimant takes our key. */
	set_key(&world.records[0], 200);
	review();
	assert_int_equal(key_of("a"), 1);
	/* A node that never had another key then has none. */
	add(&world, "z", "172.18.0.9", 2, "10.0.9.0/24");
	review();
	assert_int_equal(key_of("z"), 0);
	assert_int_equal(key_of("b"), 2);
	/* Our key is ours, even if another node had it before. */
	memset(own_key, 2, sizeof(own_key));
	review();
	assert_int_equal(key_of("b"), 0);
}

static void a_key_that_nobody_proved_is_one_peer(void **state)
{
	(void)state;
	add(&world, "a", "172.18.0.2", 7, "10.0.1.0/24");
	add(&world, "b", "172.18.0.3", 7, "10.0.2.0/24");
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	review();
	assert_int_equal(node("a")->peer[0], 0);
	assert_int_equal(node("b")->peer[0], 0);
	assert_refusals("key_shared b a|key_shared b a");
	/* That the key answers does not show whose it is. */
	see("a", 7, true, false);
	set_key(&world.records[0], 0);
	world.records[0].stopped4 = world.records[0].stopped6 = true;
	prove("b", 7);
	set_key(&world.records[0], 7);
	review();
	assert_int_equal(node("b")->peer[0], 1);
	assert_int_equal(key_of("a"), 0);
}

/* All nodes that claim a key share one peer: the node that already was a peer, or else one that
 * can be a peer. */
static void the_peer_of_a_shared_key(void **state)
{
	(void)state;
	add(&world, "a", "172.18.0.2", 7, "10.0.1.0/24");
	add(&world, "b", "172.18.0.3", 5, "10.0.2.0/24");
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	prove("b", 5);
	set_key(&world.records[1], 7);
	review();
	assert_int_equal(node("a")->peer[0], 1);
	assert_int_equal(node("b")->peer[0], 1);
	world_fini(&world);
	add(&world, "a", "", 8, "10.0.1.0/24");
	add(&world, "c", "172.18.0.4", 8, "10.0.3.0/24");
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	review();
	assert_int_equal(node("a")->peer[0], 1);
}

static void keys_are_rotated_and_nodes_made_anew(void **state)
{
	(void)state;
	add_two_nodes("10.0.1.0/24", "10.0.2.0/24");
	prove("a", 1);
	prove("b", 2);
	set_key(&world.records[0], 11);
	set_ranges(&world.records[1], "10.0.1.5,10.0.2.0/24");
	review(); /* the new key has not answered yet, but the range is still a's */
	assert_int_equal(key_of("a"), 11);
	assert_admitted("a", "10.0.1.0/24");
	assert_admitted("b", "10.0.2.0/24");
	see("a", 11, true, false);
	/* The old key is free. */
	set_key(&world.records[1], 1);
	review();
	assert_int_equal(key_of("b"), 1);
	/* Two nodes that exchange their keys are not believed. */
	see("b", 1, true, false);
	set_key(&world.records[0], 1);
	set_key(&world.records[1], 11);
	review();
	assert_int_equal(key_of("a"), 11);
	assert_int_equal(key_of("b"), 1);
}

static void count_key(void *context, enum registry_family family, const uint8_t key[32])
{
	unsigned int *n = context;

	assert_int_equal(family, REGISTRY_IPV4);
	n[key[0]]++;
}

/* A node that holds what another node claims is checked: does it still answer? If we know that it
 * does, it is not checked. */
static void who_is_contradicted_is_asked(void **state)
{
	unsigned int asked[256] = {0};

	(void)state;
	add_two_nodes("10.0.1.0/24", "10.0.2.0/24");
	prove("a", 1);
	prove("b", 2);
	see("a", 1, false, false);
	registry_each_challenged(registry, count_key, asked);
	assert_int_equal(asked[1], 0);
	set_ranges(&world.records[1], "10.0.1.0/24");
	review();
	registry_each_challenged(registry, count_key, asked);
	assert_int_equal(asked[1], 1);
	see("a", 1, true, false);
	registry_each_challenged(registry, count_key, asked);
	assert_int_equal(asked[1], 1);
	assert_int_equal(asked[2], 0);
}

/* A node that was silent for long, but is back before another took its range over, keeps it. */
static void who_is_back_keeps_its_range(void **state)
{
	(void)state;
	add_two_nodes("10.0.1.0/24", "10.0.2.0/24");
	prove("a", 1);
	prove("b", 2);
	see("a", 1, false, true);
	now += REGISTRY_SILENCE_S;
	see("a", 1, false, true);
	see("a", 1, true, false);
	set_ranges(&world.records[1], "10.0.1.0/24");
	review();
	assert_admitted("a", "10.0.1.0/24");
	assert_admitted("b", "");
}

/* A node was renamed and has a new key. Its old record still exists, its old device does not. */
static void a_renamed_node_takes_over(void **state)
{
	(void)state;
	add(&world, "a", "172.18.0.2", 1, "10.0.1.0/24");
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	prove("a", 1);
	add(&world, "new", "172.18.0.2", 5, "10.0.1.0/24");
	review();
	see("a", 1, false, true);
	see("new", 5, true, false);
	registry_needs_review(registry);
	review();
	assert_admitted("a", "10.0.1.0/24"); /* it may come back any moment */
	assert_admitted("new", "");
	now += REGISTRY_SILENCE_S - 1;
	see("a", 1, false, true);
	assert_false(registry_needs_review(registry));
	now++;
	see("a", 1, false, true);
	assert_true(registry_needs_review(registry));
	review();
	assert_admitted("new", "10.0.1.0/24");
	assert_admitted("a", "");
	/* A node that comes back too late has to wait as well. */
	see("new", 5, true, false);
	see("a", 1, true, false);
	review();
	assert_admitted("new", "10.0.1.0/24");
	/* If no claimant answers, the range stays where it was. */
	now += 10 * REGISTRY_SILENCE_S;
	see("new", 5, false, true);
	now += REGISTRY_SILENCE_S;
	see("a", 1, false, true);
	see("new", 5, false, true);
	review();
	assert_admitted("new", "10.0.1.0/24");
	/* When the record is deleted, its range is free at once. */
	world_fini(&world);
	add(&world, "a", "172.18.0.2", 1, "10.0.1.0/24");
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	review();
	assert_admitted("a", "10.0.1.0/24");
}

/* --- silence --- */

static void a_key_that_vanishes_is_held(void **state)
{
	struct node_record *a;

	(void)state;
	a = add(&world, "a", "172.18.0.2", 1, "10.0.1.0/24");
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	prove("a", 1);
	set_key(a, 0);
	review();
	assert_int_equal(key_of("a"), 1);
	assert_refusals("key_missing a");
	/* An idle node is not silent. */
	see("a", 1, false, false);
	assert_false(registry_needs_review(registry));
	review();
	assert_int_equal(key_of("a"), 1);
	/* When it no longer answers, it has no key. */
	see("a", 1, false, true);
	assert_true(registry_needs_review(registry));
	review();
	assert_int_equal(key_of("a"), 0);
	/* But it keeps the key while its condition says that it encrypts. */
	set_key(a, 1);
	prove("a", 1);
	set_key(a, 0);
	a->encrypts = true;
	review();
	see("a", 1, false, true);
	review();
	assert_int_equal(key_of("a"), 1);
	/* A node that leaves says so. */
	a->stopped4 = true;
	see("a", 1, true, false);
	review();
	assert_int_equal(key_of("a"), 0);
	a->stopped4 = false;
	review();
	assert_int_equal(key_of("a"), 0);
}

static void a_key_that_nobody_knew_is_not_made_up(void **state)
{
	(void)state;
	add(&world, "a", "172.18.0.2", 0, "10.0.1.0/24")->encrypts = true;
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	review();
	assert_int_equal(key_of("a"), 0);
	assert_refusals("");
}

/* --- addresses of nodes --- */

static void host_encryption_is_for_the_nodes_own_address(void **state)
{
	(void)state;
	add_two_nodes("10.0.1.0/24", "10.0.2.0/24");
	in.host_encryption = true;
	prove("b", 2);
	set_address(&world.records[0].address4, "172.18.0.3");
	review();
	assert_true(node("a")->host_refused[0]);
	assert_false(node("b")->host_refused[0]);
	assert_refusals("address_held a b");
	set_address(&world.records[0].address4, "172.18.0.1");
	review();
	assert_true(node("a")->host_refused[0]);
	assert_false(node("me")->host_refused[0]);
}

/* Two nodes prove an address, one after the other. It stays the first one's, whatever else that
 * node changes, until it is silent. */
static void who_had_an_address_first_keeps_it(void **state)
{
	(void)state;
	add_two_nodes("10.0.1.0/24", "10.0.2.0/24");
	in.host_encryption = true;
	prove("a", 1);
	prove("b", 2);
	set_address(&world.records[1].address4, "172.18.0.2");
	prove("b", 2);
	set_ranges(&world.records[0], "10.0.1.0/24,10.0.3.0/24");
	prove("a", 1);
	assert_false(node("a")->host_refused[0]);
	assert_true(node("b")->host_refused[0]);
	see("a", 1, false, true);
	now += REGISTRY_SILENCE_S;
	see("a", 1, false, true);
	review();
	assert_true(node("a")->host_refused[0]);
	assert_false(node("b")->host_refused[0]);
}

/* --- across restarts --- */

static void what_was_proved_outlives_us(void **state)
{
	char file[] = "/tmp/podveil-registry-XXXXXX";
	int fd = mkstemp(file);
	struct stat first, second;
	FILE *f;

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	unlink(file);
	registry_free(registry);
	registry = registry_new(file);
	add_two_nodes("10.0.1.0/24", "10.0.2.0/24");
	prove("b", 2);
	assert_int_equal(registry_save(registry), 0);
	assert_int_equal(stat(file, &first), 0);
	assert_int_equal(first.st_mode & 0777, 0600);
	/* Without news, no file is written (it would be a new inode). */
	review();
	assert_int_equal(registry_save(registry), 0);
	assert_int_equal(stat(file, &second), 0);
	assert_int_equal(second.st_ino, first.st_ino);
	registry_free(registry);
	registry = registry_new(file);
	set_key(&world.records[0], 2);
	set_ranges(&world.records[0], "10.0.2.0/24");
	review();
	assert_admitted("b", "10.0.2.0/24");
	assert_int_equal(key_of("b"), 2);
	assert_int_equal(key_of("a"), 0);
	set_key(&world.records[1], 0);
	review();
	assert_int_equal(key_of("b"), 2);
	/* What a deleted node had proved is forgotten. */
	world_fini(&world);
	add(&world, "a", "172.18.0.2", 1, "10.0.1.0/24");
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	review();
	assert_int_equal(registry_save(registry), 0);
	registry_free(registry);
	registry = registry_new(file);
	world_fini(&world);
	add_two_nodes("10.0.2.0/24", "10.0.2.0/24");
	review();
	assert_contested("10.0.2.0/24 closed 10.0.2.0/24 closed");
	/* A file with errors does not prevent the start, and proves nothing. */
	registry_free(registry);
	f = fopen(file, "w");
	fputs("[{\"name\":\"b\",\"podCIDRs\":[\"10.0.2.0/24\"]},{\"name\":\"b\"}]", f);
	fclose(f);
	registry = registry_new(file);
	assert_non_null(registry);
	review();
	assert_contested("10.0.2.0/24 closed 10.0.2.0/24 closed");
	unlink(file);
}

static void refusals_are_explained(void **state)
{
	char text[REGISTRY_TEXT];
	size_t n;

	(void)state;
	add(&world, "a", "172.18.0.2", 1, "127.0.0.0/8");
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	review();
	assert_string_equal(registry_explain(registry_refusals(registry, &n), text),
			    "127.0.0.0/8 of a: no pod can have such an address: loopback "
			    "addresses");
	assert_false(registry_reason_is_conflict(REGISTRY_NEVER_PODS));
	assert_true(registry_reason_is_conflict(REGISTRY_RANGE_HELD));
}

/* --- a hostile node --- */

static void whatever_a_hostile_node_says(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		uint8_t bytes[4000];
		uint64_t s = seed;
		const char *wrong;

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)draw(&s);
		wrong = hostile_run(bytes, sizeof(bytes));
		if (wrong)
			fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_no_pod_has_is_refused),
		TEST(no_range_contains_a_node_or_the_store),
		TEST(an_address_cannot_take_away_a_range),
		TEST(who_proved_a_range_keeps_it),
		TEST(another_key_proves_nothing),
		TEST(what_nobody_proved_is_nobodys),
		TEST(who_is_gone_contests_nothing),
		TEST(a_conflict_never_ends_in_plaintext),
		TEST(our_own_is_ours),
		TEST(the_owner_of_a_range_may_give_of_it),
		TEST(what_is_assigned_beats_what_is_said),
		TEST(a_victims_key_is_the_victims),
		TEST(a_key_that_nobody_proved_is_one_peer),
		TEST(the_peer_of_a_shared_key),
		TEST(keys_are_rotated_and_nodes_made_anew),
		TEST(who_is_contradicted_is_asked),
		TEST(who_is_back_keeps_its_range),
		TEST(a_renamed_node_takes_over),
		TEST(a_key_that_vanishes_is_held),
		TEST(a_key_that_nobody_knew_is_not_made_up),
		TEST(host_encryption_is_for_the_nodes_own_address),
		TEST(who_had_an_address_first_keeps_it),
		TEST(what_was_proved_outlives_us),
		TEST(refusals_are_explained),
		TEST(whatever_a_hostile_node_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
