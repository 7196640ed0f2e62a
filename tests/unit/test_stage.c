/* SPDX-License-Identifier: Apache-2.0 */
/* The stage, where packets wait for sessions: which peer's packets stay, and which are dropped. In
 * place of the AF_XDP socket there is a pair of counters. */
#include <stdlib.h>

#include "check.h"
#include "datapath/stage.h"

#define PEERS 600

static struct remote *remotes[PV_MAX_PEERS];
static unsigned int spare, released;

unsigned int xsk_spare_frames(void)
{
	return spare;
}

void xsk_release(struct xsk *x, const struct xsk_packet *packet)
{
	(void)x;
	released += packet->n_frames;
}

struct fixture {
	struct stage *stage;
	struct remote *peers;
	unsigned int frames_in;
};

static int begin(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->stage = malloc(sizeof(*f->stage));
	f->peers = malloc(PEERS * sizeof(*f->peers));
	for (uint32_t i = 0; i < PEERS; i++) {
		remote_init(&f->peers[i], i, 1);
		remotes[i] = &f->peers[i];
	}
	spare = 1024;
	released = 0;
	stage_init(f->stage, NULL, remotes);
	*state = f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;

	/* In each test, no frame is lost. */
	assert_int_equal(f->frames_in, f->stage->frames + released);
	free(f->stage);
	free(f->peers);
	free(f);
	return 0;
}

/* Adds a packet to the stage; its length is its number. Returns how many others were dropped. */
static unsigned int hold(struct fixture *f, unsigned int peer, uint32_t frames, uint32_t number)
{
	const struct xsk_packet packet = {.length = number, .n_frames = frames};

	f->frames_in += frames;
	return stage_hold(f->stage, &packet, &f->peers[peer]);
}

struct seen {
	uint32_t slot;
	unsigned int n;
	uint32_t numbers[STAGE_MAX];
};

static bool collect(void *context, const struct staged *p)
{
	struct seen *s = context;

	if (p->share->slot != s->slot)
		return false;
	s->numbers[s->n++] = p->packet.length;
	return true;
}

/* Takes the packets of one peer out of the stage, in order. */
static struct seen taken(struct fixture *f, uint32_t slot)
{
	struct seen s = {.slot = slot};

	stage_sweep(f->stage, collect, &s);
	assert_int_equal(f->peers[slot].staged, 0);
	return s;
}

static void a_peer_keeps_its_newest(void **state)
{
	struct fixture *f = *state;
	struct seen s;

	for (uint32_t i = 0; i < 300; i++)
		assert_int_equal(hold(f, 7, 1, i), i >= MAX_STAGED_PACKETS);
	assert_int_equal(f->peers[7].staged, MAX_STAGED_PACKETS);
	s = taken(f, 7);
	assert_int_equal(s.n, MAX_STAGED_PACKETS);
	for (uint32_t i = 0; i < s.n; i++)
		assert_int_equal(s.numbers[i], 300 - MAX_STAGED_PACKETS + i);
}

/* Two peers do not answer; a third one will, and keeps its packets. */
static void silent_peers_do_not_block_others(void **state)
{
	struct fixture *f = *state;
	struct seen s;

	for (uint32_t i = 0; i < 128; i++) {
		hold(f, 1, 1, i);
		hold(f, 2, 1, i);
	}
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(hold(f, 3, 1, i), 1);
	/* The two continue, and lose only their own packets. */
	for (uint32_t i = 0; i < 1000; i++) {
		hold(f, 1, 1, 128 + i);
		hold(f, 2, 1, 128 + i);
	}
	s = taken(f, 3);
	assert_int_equal(s.n, 10);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(s.numbers[i], i);
	s = taken(f, 1);
	assert_int_equal(s.n, 123);
	assert_int_equal(s.numbers[s.n - 1], 1127);
	s = taken(f, 2);
	assert_int_equal(s.n, 123);
	assert_int_equal(f->stage->n, 0);
}

/* With superpackets, frames run out first: the peer with most frames loses packets. */
static void frames_are_shared_too(void **state)
{
	struct fixture *f = *state;
	struct seen s;

	spare = 100;
	for (uint32_t i = 0; i < 20; i++)
		hold(f, 1, 18, i);
	for (uint32_t i = 0; i < 40; i++)
		hold(f, 2, 1, i);
	hold(f, 3, 18, 1);
	assert_true(f->stage->frames <= spare);
	s = taken(f, 3);
	assert_int_equal(s.n, 1);
	s = taken(f, 2);
	assert_int_equal(s.n, 40);
	/* A packet with more frames than exist: no other peer loses anything. */
	hold(f, 4, 1, 1);
	taken(f, 1);
	assert_int_equal(hold(f, 5, 101, 1), 1);
	assert_int_equal(f->peers[4].staged, 1);
	assert_int_equal(f->peers[5].staged, 0);
}

/* The new packet counts for its peer. If two peers then have the same number, the one with the
 * oldest packet loses it. */
static void a_new_packet_counts_for_its_peer(void **state)
{
	struct fixture *f = *state;
	const uint32_t third = STAGE_MAX / 3;

	for (uint32_t i = 0; i < third; i++)
		hold(f, 1, 1, i);
	for (uint32_t i = 0; i < third + 1; i++)
		hold(f, 2, 1, i);
	while (f->stage->n < STAGE_MAX)
		hold(f, 3, 1, 0);
	assert_true(f->peers[3].staged <= third);
	assert_int_equal(hold(f, 1, 1, third), 1);
	assert_int_equal(f->peers[1].staged, third);
	assert_int_equal(f->peers[2].staged, third + 1);
}

static void more_peers_than_places(void **state)
{
	struct fixture *f = *state;
	struct seen s;

	for (uint32_t i = 0; i < PEERS; i++)
		assert_int_equal(hold(f, i, 1, i), i >= STAGE_MAX);
	for (uint32_t i = 0; i < PEERS; i++) {
		s = taken(f, i);
		assert_int_equal(s.n, i >= PEERS - STAGE_MAX);
	}
}

/* The next user of a slot is not charged for packets of the user before it. */
static void removed_peers_are_not_counted(void **state)
{
	struct fixture *f = *state;
	struct remote *next = aligned_alloc(64, (sizeof(*next) + 63) & ~(size_t)63);

	for (uint32_t i = 0; i < 100; i++)
		hold(f, 9, 1, i);
	remote_init(next, 9, 2);
	remotes[9] = next;
	for (uint32_t i = 0; i < 100; i++)
		stage_hold(f->stage, &(struct xsk_packet){.n_frames = 1}, next);
	f->frames_in += 100;
	assert_int_equal(f->stage->n, 200);
	for (uint32_t i = 0; i < 200; i++)
		hold(f, 10, 1, i);
	assert_int_equal(f->stage->n, STAGE_MAX);
	assert_int_equal(f->peers[9].staged, 100); /* this count is no longer used */
	assert_true(next->staged <= 100 && f->peers[10].staged <= MAX_STAGED_PACKETS);
	/* Each packet is subtracted from the peer for which it was counted. */
	stage_sweep(f->stage, collect, &(struct seen){.slot = 9});
	assert_int_equal(next->staged, 0);
	assert_int_equal(f->peers[9].staged, 100);
	free(next);
}

static bool check_epoch(void *context, const struct staged *p)
{
	assert_int_equal(p->epoch, *(unsigned int *)context);
	return true;
}

/* Packets have an epoch: it shows which of them came before the stage is emptied. */
static void packets_keep_their_arrival_time(void **state)
{
	struct fixture *f = *state;

	for (unsigned int epoch = 0; epoch < 3; epoch++) {
		atomic_store(&f->peers[7].stage_epoch, epoch);
		hold(f, 7, 1, 0);
		stage_sweep(f->stage, check_epoch, &epoch);
	}
}

/* In any sequence, the limits hold, and each peer's count is the number of its packets. */
static void any_sequence(void **state)
{
	struct fixture *f = *state;
	uint64_t random = 5;

	for (unsigned int i = 0; i < 20000; i++) {
		const unsigned int peer = draw(&random) % (i % 3 ? 4 : PEERS);

		spare = i < 10000 ? 1024 : 90;
		hold(f, peer, draw(&random) % 4 ? 1 : 1 + draw(&random) % 18, i);
		assert_true(f->stage->n <= STAGE_MAX);
		if (i != 10000)
			assert_true(f->stage->frames <= spare);
		if (draw(&random) % 20 == 0)
			taken(f, peer);
	}
	for (uint32_t i = 0; i < PEERS; i++)
		taken(f, i);
	assert_int_equal(f->stage->n, 0);
	assert_int_equal(f->stage->frames, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_peer_keeps_its_newest, begin, end),
		cmocka_unit_test_setup_teardown(silent_peers_do_not_block_others, begin, end),
		cmocka_unit_test_setup_teardown(frames_are_shared_too, begin, end),
		cmocka_unit_test_setup_teardown(a_new_packet_counts_for_its_peer, begin, end),
		cmocka_unit_test_setup_teardown(more_peers_than_places, begin, end),
		cmocka_unit_test_setup_teardown(removed_peers_are_not_counted, begin, end),
		cmocka_unit_test_setup_teardown(packets_keep_their_arrival_time, begin, end),
		cmocka_unit_test_setup_teardown(any_sequence, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
