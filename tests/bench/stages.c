/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures what each stage of the data path costs, in ns per packet, without a network: the fastest
 * of many rounds. It shows in which stage a regression is. Prints a table, or JSON with --json.
 */
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <urcu-qsbr.h>

#include "../unit/packets.h"
#include "base/clock.h"
#include "crypto/aead.h"
#include "datapath/allowed_ips.h"
#include "datapath/remote.h"
#include "packet/checksum.h"
#include "packet/cut.h"
#include "packet/join.h"
#include "protocol/replay.h"

#define ROUNDS	300
#define BATCH	44 /* segments of a superpacket on an uplink of MTU 1500 */
#define PAYLOAD 1388
#define SLOT	2048
/* Distance of messages in memory, as in the data path at MTU 1500. With 2,048, all of them would be
 * in two sets of the cache. */
#define STRIDE	 1456
#define PREFIXES 10000

static uint8_t *plain, *sealed, *superpacket;
static uint64_t sink; /* results go here, so that the compiler does not remove the work */
static json_t *results;

static void report(const char *what, double ns)
{
	json_object_set_new(results, what, json_real(ns));
}

/* The time of the fastest round in ns, divided by `per_round`. */
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
			.src = (open ? sealed : plain) + i * STRIDE,
			.dst = (open ? plain : sealed) + i * STRIDE,
			.len = c->len,
		};
	if (open) {
		/* A refused message costs less, so the figure would be wrong. */
		if (aead_open(c->aead, ops, c->n) != c->n)
			abort();
		sink++;
	} else {
		aead_seal(c->aead, ops, c->n);
	}
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

struct superpacket {
	const char *label;
	struct shape shape;
	uint16_t segment; /* payload bytes; 0: one packet, no superpacket */
	struct iovec frame;
	struct join *join;
};

static void cut_round(void *context)
{
	const struct superpacket *p = context;
	struct cut c;

	for (unsigned int i = 0; i < BATCH; i += c.segments) {
		uint8_t *out = plain + i * SLOT;

		if (cut_begin(&c, &p->frame, 1,
			      (struct cut_hint){.gso_size = p->segment, .checksum_partial = true}))
			abort();
		for (size_t len; (len = cut_next(&c, out)); out += SLOT)
			sink += len;
	}
}

static void join_round(void *context)
{
	const struct superpacket *s = context;
	const uint32_t length = headers_of(&s->shape) + s->segment;
	const struct joined *out;
	struct packet p;

	for (unsigned int i = 0; i < BATCH; i++) {
		if (packet_parse(&p, plain + i * SLOT, length, length))
			abort();
		join_add(s->join, plain + i * SLOT, &p);
	}
	if (join_flush(s->join, &out) != 1)
		abort();
	sink++;
}

static void cut_and_join(struct superpacket *p)
{
	uint64_t random = 1, best = UINT64_MAX;
	char what[80];

	p->frame = (struct iovec){superpacket, make_packet(superpacket, &p->shape, &random, true)};
	snprintf(what, sizeof(what), "cut, checksum included, %s", p->label);
	report(what, measure(cut_round, p, BATCH));
	if (!p->segment)
		return;
	p->join = join_new(true);
	if (!p->join)
		abort();
	/* Joining changes the first header, so each round needs new packets. */
	for (unsigned int i = 0; i < ROUNDS; i++) {
		cut_round(p);

		const uint64_t start = clock_now();

		join_round(p);

		const uint64_t took = clock_now() - start;

		if (took < best)
			best = took;
	}
	snprintf(what, sizeof(what), "parse and join, checksum included, %s", p->label);
	report(what, (double)best / BATCH);
	join_free(p->join);
}

static void packets(void)
{
	struct superpacket all[] = {
		{"a TCP segment",
		 {.version = 4, .protocol = IPPROTO_TCP, .tcp_options = 12, .flags = 0x10},
		 PAYLOAD,
		 {0},
		 NULL},
		{"a TCP segment, IPv6",
		 {.version = 6, .protocol = IPPROTO_TCP, .tcp_options = 12, .flags = 0x10},
		 PAYLOAD - 20,
		 {0},
		 NULL},
		{"a UDP datagram", {.version = 4, .protocol = IPPROTO_UDP}, PAYLOAD, {0}, NULL},
		{"one packet of 64 B", {.version = 4, .protocol = IPPROTO_UDP}, 0, {0}, NULL},
	};

	for (size_t i = 0; i < COUNT_OF(all); i++) {
		all[i].shape.payload = all[i].segment ? BATCH * all[i].segment : 36;
		all[i].shape.port = 80;
		cut_and_join(&all[i]);
	}
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

struct look_up {
	struct allowed_ips *table;
	int family;
};

/* Writes n into the address, so that each prefix is different. */
static void number(uint8_t *address, int family, unsigned int n)
{
	uint8_t *at = address + (family == AF_INET ? 1 : 6);

	at[0] = (uint8_t)(n >> 8);
	at[1] = (uint8_t)n;
}

static void look_up_round(void *context)
{
	const struct look_up *l = context;
	uint8_t address[16] = {10};

	for (unsigned int i = 0; i < 1000; i++) {
		number(address, l->family, i * 7919u % PREFIXES);
		if (!allowed_ips_lookup(l->table, l->family, address))
			abort();
	}
	sink++;
}

static void replay_round(void *context)
{
	static uint64_t counter;

	for (unsigned int i = 0; i < 1000; i++)
		sink += replay_accept(context, counter++);
}

/* The two packets of each pair arrive in the wrong order. */
static void swapped_round(void *context)
{
	static uint64_t counter;

	for (unsigned int i = 0; i < 1000; i++)
		sink += replay_accept(context, counter++ ^ 1);
}

static void refused_round(void *context)
{
	for (unsigned int i = 0; i < 1000; i++)
		sink += replay_accept(context, i);
}

static void tables(void)
{
	struct look_up four = {allowed_ips_new(), AF_INET}, six = {four.table, AF_INET6};
	static struct remote owner;
	static struct replay in_order, swapped;
	struct remote *previous;

	remote_init(&owner, 1, 1);
	for (unsigned int i = 0; i < 2 * PREFIXES; i++) {
		struct cidr c = {.family = i % 2 ? AF_INET6 : AF_INET, .address = {10}};

		c.prefix_len = c.family == AF_INET ? 24 : 64;
		number(c.address, c.family, i / 2);
		if (allowed_ips_insert(four.table, &c, &owner, &previous))
			abort();
	}
	report("look-up among 10,000 allowed IPs", measure(look_up_round, &four, 1000));
	report("look-up among 10,000 allowed IPs, IPv6", measure(look_up_round, &six, 1000));
	report("replay check", measure(replay_round, &in_order, 1000));
	report("replay check, each pair swapped", measure(swapped_round, &swapped, 1000));
	report("replay check, refused", measure(refused_round, &in_order, 1000));
	allowed_ips_free(four.table);
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
	packets();
	report("checksum, 1420 B", measure(checksum_round, NULL, BATCH));
	report("checksum and copy, 1420 B", measure(copy_round, NULL, BATCH));
	tables();
	if (as_json)
		json_dumpf(results, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(5));
	else
		json_object_foreach (results, what, value)
			printf("%-56s %8.1f ns\n", what, json_real_value(value));
	json_decref(results);
	rcu_unregister_thread();
	return sink ? 0 : 1;
}
