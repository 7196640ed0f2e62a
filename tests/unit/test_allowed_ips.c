/* SPDX-License-Identifier: Apache-2.0 */
/* Compares the trie with a list that is searched from end to end. */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

#include "check.h"
#include "datapath/allowed_ips.h"
#include "datapath/remote.h"

#define OWNERS 8
#define ROOM   600

static struct remote owners[OWNERS];

static int nobody_has_any(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < OWNERS; i++)
		remote_init(&owners[i], i, 1);
	return 0;
}

struct model {
	struct cidr cidrs[ROOM];
	struct remote *owner[ROOM];
	size_t n;
};

static bool covers(const struct cidr *c, const uint8_t *address)
{
	for (unsigned int i = 0; i < c->prefix_len; i++)
		if ((c->address[i / 8] ^ address[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

static struct remote *search(const struct model *m, int family, const uint8_t *address)
{
	struct remote *best = NULL;
	int longest = -1;

	for (size_t i = 0; i < m->n; i++) {
		const struct cidr *c = &m->cidrs[i];

		if (c->family == family && c->prefix_len > longest && covers(c, address)) {
			longest = c->prefix_len;
			best = m->owner[i];
		}
	}
	return best;
}

static size_t find(const struct model *m, const struct cidr *c)
{
	size_t i = 0;

	while (i < m->n &&
	       (m->cidrs[i].family != c->family || m->cidrs[i].prefix_len != c->prefix_len ||
		!covers(&m->cidrs[i], c->address)))
		i++;
	return i;
}

/* Few different addresses, so that prefixes are often equal or contain each other. */
static struct cidr random_cidr(uint64_t *random)
{
	struct cidr c = {.family = draw(random) % 2 ? AF_INET : AF_INET6};
	const unsigned int bytes = c.family == AF_INET ? 4 : 16;

	for (unsigned int i = 0; i < bytes; i++)
		c.address[i] = draw(random) % 4
				       ? 0
				       : (uint8_t)(draw(random) % 2 ? 0xff : 1 << draw(random) % 8);
	c.prefix_len = (uint8_t)(draw(random) % (bytes * 8 + 1));
	return c;
}

static void against_a_model(void **state)
{
	struct allowed_ips *a = allowed_ips_new();
	struct model *m = calloc(1, sizeof(*m));
	uint64_t random = 5;
	size_t n = 0;

	(void)state;
	for (unsigned int step = 0; step < 20000; step++) {
		struct cidr c = random_cidr(&random);
		struct remote *owner = &owners[draw(&random) % OWNERS], *previous;
		size_t at = find(m, &c);

		if (draw(&random) % 3 && (m->n < ROOM || at < m->n)) {
			assert_int_equal(allowed_ips_insert(a, &c, owner, &previous), 0);
			assert_ptr_equal(previous, at < m->n ? m->owner[at] : NULL);
			if (at == m->n)
				m->n++;
			m->cidrs[at] = c;
			m->owner[at] = owner;
		} else {
			int want = at < m->n && m->owner[at] == owner ? 0 : -ENOENT;

			assert_int_equal(allowed_ips_remove(a, &c, owner), want);
			if (!want) {
				m->n--;
				m->cidrs[at] = m->cidrs[m->n];
				m->owner[at] = m->owner[m->n];
			}
		}
		for (unsigned int i = 0; i < 5; i++) {
			struct cidr look = random_cidr(&random);

			assert_ptr_equal(allowed_ips_lookup(a, look.family, look.address),
					 search(m, look.family, look.address));
		}
		if (step % 64 == 0)
			rcu_quiescent_state();
	}
	for (unsigned int i = 0; i < OWNERS; i++)
		n += owners[i].n_allowed;
	assert_int_equal(n, m->n);
	allowed_ips_free(a);
	free(m);
}

struct order {
	size_t n;
	uint8_t last[8];
};

static void note(const struct cidr *c, void *context)
{
	struct order *o = context;

	o->last[o->n++] = c->address[3];
}

/* The list is in the order of insertion, as in wg(8). A range that is set again is the newest. */
static void each_owner_has_a_list(void **state)
{
	struct allowed_ips *a = allowed_ips_new();
	struct cidr c = {.family = AF_INET, .prefix_len = 32, .address = {10}};
	struct order o = {0};
	struct remote *previous;
	uint64_t number, before;

	(void)state;
	assert_false(allowed_ips_oldest(&owners[0], &c, &number));
	for (uint8_t i = 1; i <= 5; i++) {
		c.address[3] = i;
		assert_int_equal(allowed_ips_insert(a, &c, &owners[0], &previous), 0);
	}
	before = allowed_ips_inserted(a);
	c.address[3] = 2;
	assert_int_equal(allowed_ips_insert(a, &c, &owners[0], &previous), 0);
	assert_ptr_equal(previous, &owners[0]);
	c.address[3] = 4;
	assert_int_equal(allowed_ips_insert(a, &c, &owners[1], &previous), 0);
	c.address[3] = 3;
	assert_int_equal(allowed_ips_remove(a, &c, &owners[0]), 0);
	allowed_ips_each(&owners[0], note, &o);
	assert_int_equal(o.n, 3);
	assert_memory_equal(o.last, "\1\5\2", 3);
	assert_true(allowed_ips_oldest(&owners[0], &c, &number));
	assert_int_equal(c.address[3], 1);
	assert_int_equal(c.prefix_len, 32);
	assert_true(number < before);
	assert_true(allowed_ips_oldest(&owners[1], &c, &number));
	assert_int_equal(c.address[3], 4);
	assert_true(number > before);
	allowed_ips_free(a);
}

/* As many ranges as one request may have are inserted and removed within a request's time. */
static void many(void **state)
{
	struct allowed_ips *a = allowed_ips_new();
	struct cidr c = {.family = AF_INET, .prefix_len = 32, .address = {10}};
	struct remote *previous;
	uint64_t number;

	(void)state;
	for (unsigned int round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 200000; i++) {
			c.address[1] = (uint8_t)(i >> 16);
			c.address[2] = (uint8_t)(i >> 8);
			c.address[3] = (uint8_t)i;
			assert_int_equal(allowed_ips_insert(a, &c, &owners[round], &previous), 0);
		}
	}
	assert_int_equal(owners[0].n_allowed, 0);
	assert_int_equal(owners[1].n_allowed, 200000);
	while (allowed_ips_oldest(&owners[1], &c, &number))
		assert_int_equal(allowed_ips_remove(a, &c, &owners[1]), 0);
	assert_int_equal(owners[1].n_allowed, 0);
	assert_null(allowed_ips_lookup(a, AF_INET, (const uint8_t *)"\12\0\0\1"));
	rcu_quiescent_state();
	allowed_ips_free(a);
}

static void edges(void **state)
{
	static const uint8_t v4[] = {10, 1, 2, 3}, v6[16] = {0xfd};
	struct allowed_ips *a = allowed_ips_new();
	struct cidr c = {.family = AF_INET, .prefix_len = 24, .address = {10, 1, 2, 99}};
	struct remote *previous;

	(void)state;
	assert_null(allowed_ips_lookup(a, AF_INET, v4));
	/* Host bits are ignored. */
	assert_int_equal(allowed_ips_insert(a, &c, &owners[0], &previous), 0);
	assert_ptr_equal(allowed_ips_lookup(a, AF_INET, v4), &owners[0]);
	c.address[3] = 0;
	assert_int_equal(allowed_ips_insert(a, &c, &owners[1], &previous), 0);
	assert_ptr_equal(previous, &owners[0]);
	/* The default route of one family does not match the other family. */
	c = (struct cidr){.family = AF_INET6, .prefix_len = 0};
	assert_int_equal(allowed_ips_insert(a, &c, &owners[2], &previous), 0);
	assert_ptr_equal(allowed_ips_lookup(a, AF_INET6, v6), &owners[2]);
	assert_ptr_equal(allowed_ips_lookup(a, AF_INET, v4), &owners[1]);
	c = (struct cidr){.family = AF_INET, .prefix_len = 32, .address = {10, 1, 2, 3}};
	assert_int_equal(allowed_ips_insert(a, &c, &owners[3], &previous), 0);
	assert_ptr_equal(allowed_ips_lookup(a, AF_INET, v4), &owners[3]);
	assert_int_equal(owners[0].n_allowed, 0);
	assert_int_equal(owners[3].n_allowed, 1);
	c.prefix_len = 33;
	assert_int_equal(allowed_ips_insert(a, &c, &owners[3], &previous), -EINVAL);
	c = (struct cidr){.family = AF_UNIX};
	assert_int_equal(allowed_ips_insert(a, &c, &owners[3], &previous), -EINVAL);
	assert_int_equal(allowed_ips_remove(a, &c, &owners[3]), -EINVAL);
	allowed_ips_free(a);
}

static _Atomic bool stop;

static void *read_on(void *context)
{
	const struct allowed_ips *a = context;
	uint64_t random = 11;
	size_t wrong = 0;

	rcu_register_thread();
	while (!stop) {
		struct cidr c = random_cidr(&random);
		struct remote *r = allowed_ips_lookup(a, c.family, c.address);

		wrong += r && (r < owners || r >= owners + OWNERS);
		rcu_quiescent_state();
	}
	rcu_unregister_thread();
	return (void *)wrong;
}

/* With AddressSanitizer, this finds a node that is freed while a thread reads it. */
static void readers_beside_a_writer(void **state)
{
	struct allowed_ips *a = allowed_ips_new();
	uint64_t random = 17;
	pthread_t reader;
	void *wrong;

	(void)state;
	stop = false;
	assert_int_equal(pthread_create(&reader, NULL, read_on, a), 0);
	for (unsigned int i = 0; i < 100000; i++) {
		struct cidr c = random_cidr(&random);
		struct remote *owner = &owners[draw(&random) % OWNERS], *previous;

		if (draw(&random) % 2)
			assert_int_equal(allowed_ips_insert(a, &c, owner, &previous), 0);
		else
			allowed_ips_remove(a, &c, owner);
		rcu_quiescent_state();
	}
	stop = true;
	rcu_thread_offline();
	pthread_join(reader, &wrong);
	rcu_thread_online();
	assert_null(wrong);
	allowed_ips_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(edges, nobody_has_any),
		cmocka_unit_test_setup(against_a_model, nobody_has_any),
		cmocka_unit_test_setup(each_owner_has_a_list, nobody_has_any),
		cmocka_unit_test_setup(many, nobody_has_any),
		cmocka_unit_test_setup(readers_beside_a_writer, nobody_has_any),
	};
	int failed;

	rcu_register_thread();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rcu_barrier();
	rcu_unregister_thread();
	return failed;
}
