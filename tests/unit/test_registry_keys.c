/* SPDX-License-Identifier: Apache-2.0 */
/* No node can claim keys or addresses that are another node's, and what was proved outlives the agent. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "registry_world.h"

/* --- keys --- */

static void a_victim_keeps_its_key(void **state)
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

static void an_unproved_shared_key_is_one_peer(void **state)
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

static void keys_are_rotated_and_nodes_are_reinstalled(void **state)
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
static void contradicted_nodes_are_probed(void **state)
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
static void a_returning_node_keeps_its_range(void **state)
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

static void an_unknown_key_is_not_invented(void **state)
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
static void the_first_owner_keeps_an_address(void **state)
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

static void proofs_survive_a_restart(void **state)
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		REGISTRY_TEST(a_victim_keeps_its_key),
		REGISTRY_TEST(an_unproved_shared_key_is_one_peer),
		REGISTRY_TEST(the_peer_of_a_shared_key),
		REGISTRY_TEST(keys_are_rotated_and_nodes_are_reinstalled),
		REGISTRY_TEST(contradicted_nodes_are_probed),
		REGISTRY_TEST(a_returning_node_keeps_its_range),
		REGISTRY_TEST(a_renamed_node_takes_over),
		REGISTRY_TEST(a_key_that_vanishes_is_held),
		REGISTRY_TEST(an_unknown_key_is_not_invented),
		REGISTRY_TEST(host_encryption_is_for_the_nodes_own_address),
		REGISTRY_TEST(the_first_owner_keeps_an_address),
		REGISTRY_TEST(proofs_survive_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
