/* SPDX-License-Identifier: Apache-2.0 */
/* A registry and a world of records, for the tests of what it accepts of them. */
#ifndef UNIT_REGISTRY_WORLD_H
#define UNIT_REGISTRY_WORLD_H

#include "plan/registry.h"
#include "records.h"

static struct world world;
static struct registry *registry;
static struct registry_input in;
static uint8_t own_key[32];
static struct cidr own[1];
static uint64_t now;

static inline int setup(void **state)
{
	(void)state;
	memset(own_key, 200, sizeof(own_key));
	in = (struct registry_input){.self = "me", .own_keys = {own_key, own_key}, .own = own};
	registry = registry_new(NULL);
	now = 1000;
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	registry_free(registry);
	world_fini(&world);
	return 0;
}

static inline void review(void)
{
	in.nodes = world.nodes;
	in.n_nodes = world.n;
	assert_int_equal(registry_review(registry, &in), 0);
}

static inline const struct registry_node *node(const char *name)
{
	size_t n;
	const struct registry_node *all = registry_nodes(registry, &n);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i].record->name, name))
			return &all[i];
	fail_msg("%s is not there", name);
	return NULL;
}

static inline uint8_t key_of(const char *name)
{
	return node(name)->record->key4[0];
}

/* A device reports that the peer with this key has a session, or does not answer. */
static inline void see(const char *name, uint8_t key, bool session, bool unanswered)
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

static inline void prove(const char *name, uint8_t key)
{
	review();
	see(name, key, true, false);
	review();
}

/* `wanted`: the ranges that were accepted for the node, as in "10.0.0.0/24,10.1.0.0/24". */
static inline void assert_admitted(const char *name, const char *wanted)
{
	const struct node_record *r = node(name)->record;
	char got[512] = "", range[CIDR_TEXT];

	for (size_t i = 0; i < r->n_pod_cidrs; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i ? "," : "",
			 cidr_format(&r->pod_cidrs[i], true, range));
	assert_string_equal(got, wanted);
}

/* `wanted`: "range_held b a|...": reason, node of the refused claim, node that it contradicts. */
static inline void assert_refusals(const char *wanted)
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
static inline void add_two_nodes(const char *ranges_of_a, const char *ranges_of_b)
{
	add(&world, "a", "172.18.0.2", 1, ranges_of_a);
	add(&world, "b", "172.18.0.3", 2, ranges_of_b);
	add(&world, "me", "172.18.0.1", 0, "10.7.0.0/24");
}

/* `wanted`: "10.0.0.0/24 10.0.1.0/24 closed": contested ranges; "closed": no plaintext to it. */
static inline void assert_contested(const char *wanted)
{
	size_t n;
	const struct registry_range *all = registry_contested(registry, &n);
	char got[512] = "", range[CIDR_TEXT];

	for (size_t i = 0; i < n; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s%s", i ? " " : "",
			 cidr_format(&all[i].cidr, true, range), all[i].closed ? " closed" : "");
	assert_string_equal(got, wanted);
}

#define REGISTRY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
