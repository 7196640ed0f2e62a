/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each stage of the data path costs, in ns a packet, without a network: the fastest of many
 * rounds, so that a regression shows where it is. Prints a table, or JSON with --json.
 */
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <urcu-qsbr.h>

#include "../unit/packets.h"
#include "crypto/aead.h"
#include "datapath/allowed_ips.h"
#include "datapath/checksum.h"
#include "datapath/clock.h"
#include "datapath/cut.h"
#include "datapath/join.h"
#include "datapath/remote.h"
#include "protocol/replay.h"

#define ROUNDS	 300
#define BATCH	 44 /* segments of a superpacket on an uplink of MTU 1500 */
#define PAYLOAD	 1388
#define HEADERS	 52
#define SLOT	 2048
#define PREFIXES 10000

static uint8_t *plain, *sealed, *superpacket;
static uint64_t sink; /* what is computed for nobody would not be computed */
static json_t *results;

static void report(const char *what, double ns)
{
	json_object_set_new(results, what, json_real(ns));
}

/* The fastest round, divided by what a round does. */
static double measure(void (*round)(void *), void *context, unsigned int per_round)
{
	uint64_t best = UINT64_MAX;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		const uint64_t start = clock_now();

		round(context);

		const uint64_t took = clock_now() - start;

		if (took < best)
			best = took;
	}
	return (double)best / per_round;
}

/* --- cipher --- */

struct cipher {
	struct aead *aead;
	uint32_t len;
	unsigned int n;
};

static void seal_and_open(struct cipher *c, bool open)
{
	static const uint8_t key[AEAD_KEY_SIZE] = {7};
	struct aead_op ops[BATCH];

	for (unsigned int i = 0; i < c->n; i++)
		ops[i] = (struct aead_op){
			.key = key,
			.counter = i,
			.src = (open ? sealed : plain) + i * SLOT,
			.dst = (open ? plain : sealed) + i * SLOT,
			.len = c->len,
		};
	if (open)
		sink += aead_open(c->aead, ops, c->n);
	else
		aead_seal(c->aead, ops, c->n);
}

static void seal_round(void *context)
{
	seal_and_open(context, false);
}

static void open_round(void *context)
{
	seal_and_open(context, true);
}

static void cipher(const char *backend, const char *label)
{
	static const struct {
		uint32_t len;
		unsigned int n;
	} cases[] = {{1420, BATCH}, {64, BATCH}, {1420, 1}, {64, 1}};
	struct cipher c;
	char what[80];

	if (aead_new(backend, &c.aead))
		return;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		c.len = cases[i].len;
		c.n = cases[i].n;
		snprintf(what, sizeof(what), "seal %u B, %u at once, %s", c.len, c.n, label);
		report(what, measure(seal_round, &c, c.n));
		snprintf(what, sizeof(what), "open %u B, %u at once, %s", c.len, c.n, label);
		report(what, measure(open_round, &c, c.n));
	}
	aead_free(c.aead);
}

/* --- cut and join --- */

static void cut_round(void *context)
{
	const struct iovec *frames = context;
	struct cut c;
	uint8_t *out = plain;

	if (cut_begin(&c, frames, 1,
		      (struct cut_hint){.gso_size = PAYLOAD, .checksum_partial = true}))
		abort();
	for (size_t len; (len = cut_next(&c, out)); out += SLOT)
		sink += len;
}

static void join_round(void *context)
{
	const struct joined *out;
	struct packet p;

	for (unsigned int i = 0; i < BATCH; i++) {
		if (packet_parse(&p, plain + i * SLOT, HEADERS + PAYLOAD, HEADERS + PAYLOAD))
			abort();
		join_add(context, plain + i * SLOT, &p);
	}
	sink += join_flush(context, &out);
}

static void cut_and_join(void)
{
	struct shape s = {.version = 4,
			  .protocol = IPPROTO_TCP,
			  .tcp_options = 12,
			  .payload = BATCH * PAYLOAD,
			  .flags = 0x10,
			  .port = 80};
	uint64_t random = 1;
	struct iovec frame = {superpacket, make_packet(superpacket, &s, &random, true)};
	struct join *j = join_new(true);

	report("cut, checksum included, a segment", measure(cut_round, &frame, BATCH));
	/* Joining rewrites the first header, so each round would find another packet. */
	cut_round(&frame);
	uint64_t best = UINT64_MAX;
	for (unsigned int i = 0; i < ROUNDS && j; i++) {
		cut_round(&frame);
		const uint64_t start = clock_now();

		join_round(j);
		const uint64_t took = clock_now() - start;

		if (took < best)
			best = took;
	}
	report("parse and join, checksum included, a segment", (double)best / BATCH);
	join_free(j);
}

/* --- the rest --- */

static void checksum_round(void *context)
{
	(void)context;
	for (unsigned int i = 0; i < BATCH; i++)
		sink += checksum_add(0, plain + i * SLOT, 1420);
}

static void copy_round(void *context)
{
	(void)context;
	for (unsigned int i = 0; i < BATCH; i++)
		sink += checksum_copy(0, sealed + i * SLOT, plain + i * SLOT, 1420);
}

static void look_up_round(void *context)
{
	uint8_t address[4] = {10, 0, 0, 1};

	for (unsigned int i = 0; i < 1000; i++) {
		const unsigned int prefix = i * 7919u % PREFIXES;

		address[1] = (uint8_t)(prefix >> 8);
		address[2] = (uint8_t)prefix;
		sink += allowed_ips_lookup(context, AF_INET, address) != NULL;
	}
}

static void replay_round(void *context)
{
	static uint64_t counter;

	for (unsigned int i = 0; i < 1000; i++)
		sink += replay_accept(context, counter++);
}

static void tables(void)
{
	struct allowed_ips *a = allowed_ips_new();
	static struct remote owner;
	static struct replay window;
	struct remote *previous;

	for (unsigned int i = 0; i < PREFIXES; i++) {
		const struct cidr c = {.family = AF_INET,
				       .prefix_len = 24,
				       .address = {10, (uint8_t)(i >> 8), (uint8_t)i}};

		if (allowed_ips_insert(a, &c, &owner, &previous))
			abort();
	}
	report("look-up among 10,000 allowed IPs", measure(look_up_round, a, 1000));
	report("replay check", measure(replay_round, &window, 1000));
	allowed_ips_free(a);
}

int main(int argc, char **argv)
{
	const bool as_json = argc > 1 && !strcmp(argv[1], "--json");
	struct aead_speed speeds[8];
	const char *what;
	json_t *value;
	size_t n;

	plain = aligned_alloc(4096, BATCH * SLOT + 4096);
	sealed = aligned_alloc(4096, BATCH * SLOT + 4096);
	superpacket = aligned_alloc(4096, 1 << 16);
	results = json_object();
	if (sodium_init() < 0 || !plain || !sealed || !superpacket || !results)
		return 1;
	rcu_register_thread();
	memset(plain, 1, BATCH * SLOT + 4096);
	n = aead_measure(speeds, COUNT_OF(speeds));
	cipher(NULL, "as chosen");
	for (size_t i = 0; i < n; i++)
		cipher(speeds[i].backend, speeds[i].backend);
	cut_and_join();
	report("checksum, 1420 B", measure(checksum_round, NULL, BATCH));
	report("checksum and copy, 1420 B", measure(copy_round, NULL, BATCH));
	tables();
	if (as_json)
		json_dumpf(results, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(5));
	else
		json_object_foreach (results, what, value)
			printf("%-52s %8.1f ns\n", what, json_real_value(value));
	json_decref(results);
	rcu_unregister_thread();
	return sink ? 0 : 1;
}
