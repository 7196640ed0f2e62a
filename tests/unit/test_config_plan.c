/* SPDX-License-Identifier: Apache-2.0 */
/* The plan for a request: sequences of entries, on a device with three peers. */
#include <errno.h>
#include <sys/socket.h>

#include "check.h"
#include "device/config_plan.h"
#include "podveil/maps.h"

static bool find(void *context, const uint8_t public_key[KEY_SIZE], size_t *n_allowed)
{
	(void)context;
	if (public_key[0] > 3)
		return false;
	*n_allowed = public_key[0] * 10u; /* peers 1, 2 and 3 */
	return public_key[0] > 0;
}

static const struct config_start three = {.n_peers = 3, .n_allowed = 60, .find = find};

struct line {
	uint8_t peer;
	unsigned int set;
	size_t allowed;
};

static struct allowed_change *prefixes(size_t n)
{
	struct allowed_change *all = calloc(n ? n : 1, sizeof(*all));

	for (size_t i = 0; i < n; i++)
		all[i].cidr = (struct cidr){.family = AF_INET, .prefix_len = 32};
	return all;
}

static int plan(const struct config_start *start, unsigned int set, const struct line *lines,
		size_t n, struct config_plan *out)
{
	struct peer_config *peers = calloc(n ? n : 1, sizeof(*peers));
	struct device_config c = {.set = set, .peers = peers, .n_peers = n};
	int err;

	for (size_t i = 0; i < n; i++) {
		peers[i].set = lines[i].set;
		peers[i].public_key[0] = lines[i].peer;
		peers[i].allowed = prefixes(lines[i].allowed);
		peers[i].n_allowed = lines[i].allowed;
	}
	err = config_plan_make(&c, start, out);
	device_config_fini(&c);
	return err;
}

static void entries_follow_each_other(void **state)
{
	static const struct {
		unsigned int set;
		struct line lines[4];
		size_t n;
		const char *makes; /* one character per entry; +: it makes a peer */
		size_t max_peers;
	} cases[] = {
		{0, {{1, 0, 0}, {4, 0, 0}}, 2, ".+", 4},
		{0, {{4, 0, 0}, {4, 0, 0}}, 2, "+.", 4},
		/* The second entry makes a new peer; it does not change the removed one. */
		{0, {{1, PEER_REMOVE, 0}, {1, 0, 0}}, 2, ".+", 3},
		{0, {{4, 0, 0}, {4, PEER_REMOVE, 0}, {4, 0, 0}}, 3, "+.+", 4},
		{0, {{1, PEER_REMOVE, 0}, {1, PEER_UPDATE_ONLY, 0}, {1, 0, 0}}, 3, "..+", 3},
		{0, {{4, PEER_UPDATE_ONLY, 0}, {4, PEER_REMOVE, 0}}, 2, "..", 3},
		{DEVICE_REPLACE_PEERS, {{1, 0, 0}, {1, 0, 0}, {2, 0, 0}}, 3, "+.+", 2},
		{DEVICE_REPLACE_PEERS, {{1, PEER_UPDATE_ONLY, 0}}, 1, ".", 0},
		{DEVICE_REPLACE_PEERS, {{0}}, 0, "", 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct config_plan p;
		size_t made = 0;

		assert_int_equal(plan(&three, cases[i].set, cases[i].lines, cases[i].n, &p), 0);
		for (size_t k = 0; k < cases[i].n; k++) {
			assert_int_equal(p.makes[k], cases[i].makes[k] == '+');
			made += p.makes[k];
		}
		assert_int_equal(p.n_made, made);
		assert_int_equal(p.max_peers, cases[i].max_peers);
		config_plan_fini(&p);
	}
}

static void what_is_there_is_not_counted_twice(void **state)
{
	const struct config_start full = {
		.n_peers = PV_MAX_PEERS, .n_allowed = PV_MAX_ALLOWED_IPS, .find = find};
	struct config_plan p;

	(void)state;
	/* `wg syncconf` lists all peers that stay again. */
	assert_int_equal(plan(&full, 0,
			      (struct line[]){{1, PEER_REPLACE_ALLOWED_IPS, 10},
					      {2, PEER_REPLACE_ALLOWED_IPS, 20},
					      {3, PEER_REPLACE_ALLOWED_IPS, 30}},
			      3, &p),
			 0);
	assert_int_equal(p.max_peers, PV_MAX_PEERS);
	config_plan_fini(&p);
	/* A removed peer makes room for another. */
	assert_int_equal(plan(&full, 0, (struct line[]){{3, PEER_REMOVE, 0}, {4, 0, 30}}, 2, &p),
			 0);
	config_plan_fini(&p);
	assert_int_equal(plan(&full, 0, (struct line[]){{3, PEER_REMOVE, 0}, {4, 0, 31}}, 2, &p),
			 -ENOSPC);
	assert_int_equal(plan(&full, 0, (struct line[]){{1, 0, 1}}, 1, &p), -ENOSPC);
	assert_int_equal(plan(&full, 0, (struct line[]){{4, 0, 0}}, 1, &p), -ENOSPC);
	assert_null(p.makes);
	assert_int_equal(plan(&full, DEVICE_REPLACE_PEERS,
			      (struct line[]){{4, 0, PV_MAX_ALLOWED_IPS}}, 1, &p),
			 0);
	config_plan_fini(&p);
}

static void removed_entries_need_no_room(void **state)
{
	const struct config_start full = {
		.n_peers = PV_MAX_PEERS, .n_allowed = PV_MAX_ALLOWED_IPS, .find = find};
	struct allowed_change going = {.cidr = {.family = AF_INET, .prefix_len = 32},
				       .remove = true};
	struct peer_config one = {.public_key = {1}, .allowed = &going, .n_allowed = 1};
	const struct device_config c = {.peers = &one, .n_peers = 1};
	struct config_plan p;

	(void)state;
	assert_int_equal(config_plan_make(&c, &full, &p), 0);
	config_plan_fini(&p);
}

static void prefixes_that_no_address_has(void **state)
{
	static const struct cidr bad[] = {
		{.family = AF_INET, .prefix_len = 33},
		{.family = AF_INET6, .prefix_len = 129},
		{.family = AF_UNIX},
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct allowed_change a = {.cidr = bad[i]};
		struct peer_config pc = {.allowed = &a, .n_allowed = 1};
		struct device_config c = {.peers = &pc, .n_peers = 1};
		struct config_plan p;

		assert_int_equal(config_plan_make(&c, &three, &p), -EINVAL);
	}
}

/* As many entries as a request may have: all for one peer, then each for another peer. */
static void long_requests(void **state)
{
	enum { N = 60000 };
	const struct config_start none = {.find = find};
	struct peer_config *peers = calloc(N, sizeof(*peers));
	struct device_config c = {.peers = peers, .n_peers = N};
	struct config_plan p;

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		peers[i].public_key[0] = 9;
		memcpy(peers[i].public_key + 1, &i, sizeof(i));
	}
	assert_int_equal(config_plan_make(&c, &none, &p), 0);
	assert_int_equal(p.n_made, N);
	config_plan_fini(&p);
	for (uint32_t i = 0; i < N; i++) {
		memset(peers[i].public_key + 1, 0, sizeof(i));
		peers[i].set = i % 2 ? PEER_REMOVE : 0;
	}
	assert_int_equal(config_plan_make(&c, &none, &p), 0);
	assert_int_equal(p.n_made, N / 2);
	assert_int_equal(p.max_peers, 1);
	config_plan_fini(&p);
	device_config_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_follow_each_other),
		cmocka_unit_test(what_is_there_is_not_counted_twice),
		cmocka_unit_test(removed_entries_need_no_room),
		cmocka_unit_test(prefixes_that_no_address_has),
		cmocka_unit_test(long_requests),
	};

	return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
