/* SPDX-License-Identifier: Apache-2.0 */
/* No node can claim ranges that are another node's: what is accepted of records, what is refused, why. */
#include "hostile.h"
#include "registry_world.h"

/* --- what is never valid --- */

static void ranges_that_no_pod_has_are_refused(void **state)
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

static void no_node_is_reached_at_an_address_that_none_has(void **state)
{
	struct record_endpoint *e;

	(void)state;
	e = &add(&world, "a", "172.18.0.2", 1, "10.0.1.0/24")->endpoint4;
	add(&world, "me", "172.18.0.1", 0, "10.0.0.0/24");
	assert_null(record_endpoint_parse("224.0.0.1:51820", e));
	review();
	assert_refusals("endpoint a");
	/* The rest of the record counts. */
	assert_admitted("a", "10.0.1.0/24");
	assert_string_equal(node("a")->record->endpoint4.host, "");
	assert_null(record_endpoint_parse("192.0.2.1:51820", e));
	review();
	assert_refusals("");
	assert_string_equal(node("a")->record->endpoint4.host, "192.0.2.1");
	assert_null(record_endpoint_parse("vpn.example.com:51820", e));
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

static void a_proved_range_is_kept(void **state)
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

static void unproved_ranges_have_no_owner(void **state)
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
static void silent_nodes_contest_nothing(void **state)
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

/* The address of `b` is among the pods of `a`, and it claims some of them. It does not answer, `a` does: the narrower
 * claim is refused, and it opens no hole in the wider range. */
static void a_refused_claim_opens_no_hole(void **state)
{
	(void)state;
	add(&world, "a", "172.18.0.2", 1, "10.0.1.0/28");
	add(&world, "b", "10.0.1.0", 2, "10.0.1.0/30");
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	review();
	see("a", 1, true, false);
	see("b", 2, false, true);
	now += REGISTRY_SILENCE_S;
	see("b", 2, false, true);
	review();
	assert_admitted("b", "");
	assert_contested("10.0.1.0/28 closed");
}

/* `a` loses its range to `b`, which proved a part of it. Two nodes without keys contest an address in the rest: each
 * alone would be reached in plain. */
static void a_conflict_in_a_closed_range_is_closed(void **state)
{
	(void)state;
	add(&world, "b", "172.18.0.3", 2, "10.0.1.0/25");
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
	prove("b", 2);
	add(&world, "a", "172.18.0.2", 1, "10.0.1.0/24");
	add(&world, "c", "172.18.0.4", 0, "10.0.1.200");
	add(&world, "d", "172.18.0.5", 0, "10.0.1.200");
	review();
	assert_contested("10.0.1.0/24 closed 10.0.1.200 closed 10.0.1.200 closed");
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

static void our_own_range_is_ours(void **state)
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

static void assigned_ranges_beat_published_ones(void **state)
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

static void hostile_records(void **state)
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		REGISTRY_TEST(ranges_that_no_pod_has_are_refused),
		REGISTRY_TEST(no_node_is_reached_at_an_address_that_none_has),
		REGISTRY_TEST(no_range_contains_a_node_or_the_store),
		REGISTRY_TEST(an_address_cannot_take_away_a_range),
		REGISTRY_TEST(a_proved_range_is_kept),
		REGISTRY_TEST(another_key_proves_nothing),
		REGISTRY_TEST(unproved_ranges_have_no_owner),
		REGISTRY_TEST(silent_nodes_contest_nothing),
		REGISTRY_TEST(a_refused_claim_opens_no_hole),
		REGISTRY_TEST(a_conflict_in_a_closed_range_is_closed),
		REGISTRY_TEST(a_conflict_never_ends_in_plaintext),
		REGISTRY_TEST(our_own_range_is_ours),
		REGISTRY_TEST(the_owner_of_a_range_may_give_of_it),
		REGISTRY_TEST(assigned_ranges_beat_published_ones),
		REGISTRY_TEST(refusals_are_explained),
		REGISTRY_TEST(hostile_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
