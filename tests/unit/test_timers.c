/* SPDX-License-Identifier: Apache-2.0 */
/* Each rule of whitepaper section 6, with simulated time. */
#include "check.h"
#include "protocol/timers.h"

#define S  NSEC_PER_SEC
#define T0 (1000 * S)

static void up(struct timers *t)
{
	timers_init(t);
	timers_up(t, true);
}

/* Sleeps as the owner does, until `until`. Returns all that was due meanwhile; *first: when the
 * first of it was due. */
static unsigned int sleep_until(struct timers *t, uint64_t now, uint64_t until, uint64_t *first)
{
	unsigned int due = 0;

	for (;;) {
		uint64_t next = timers_next(t, now);
		unsigned int fresh;

		if (next > until)
			return due;
		now = next;
		fresh = timers_due(t, now);
		if (fresh && !due && first)
			*first = now;
		due |= fresh;
	}
}

static void nothing_happens_by_itself(void **state)
{
	struct timers t;

	(void)state;
	up(&t);
	assert_int_equal(timers_next(&t, T0), TIMERS_NEVER);
	assert_int_equal(timers_due(&t, T0), 0);
}

static void unanswered_data_starts_a_handshake(void **state)
{
	uint64_t when = 0;
	struct timers t;

	(void)state;
	up(&t);
	assert_true(timers_message_sent(&t, true, T0));
	assert_int_equal(sleep_until(&t, T0, T0 + 15 * S - 1, NULL), 0);
	assert_int_equal(sleep_until(&t, T0, T0 + 16 * S, &when), TIMERS_SEND_INITIATION);
	assert_in_range(when, T0 + 15 * S, T0 + 15 * S + REKEY_TIMEOUT_JITTER);
	/* Only once: from now on, retransmission does it. */
	assert_int_equal(timers_due(&t, when + 60 * S), 0);
}

static void an_answer_cancels_the_handshake(void **state)
{
	struct timers t;

	(void)state;
	up(&t);
	timers_message_sent(&t, true, T0);
	timers_message_sent(&t, true, T0 + 5 * S);
	timers_message_received(&t, false, T0 + 6 * S);
	assert_int_equal(sleep_until(&t, T0 + 6 * S, T0 + 60 * S, NULL), 0);
	/* The time counts from the first message without an answer. */
	timers_message_sent(&t, true, T0 + 60 * S);
	timers_message_sent(&t, true, T0 + 70 * S);
	assert_int_equal(sleep_until(&t, T0 + 60 * S, T0 + 76 * S, NULL), TIMERS_SEND_INITIATION);
}

static void a_sent_keepalive_expects_no_answer(void **state)
{
	struct timers t;

	(void)state;
	up(&t);
	assert_false(timers_message_sent(&t, false, T0));
	assert_int_equal(timers_next(&t, T0), TIMERS_NEVER);
}

static void data_received_is_acknowledged(void **state)
{
	uint64_t when = 0;
	struct timers t;

	(void)state;
	up(&t);
	assert_true(timers_message_received(&t, true, T0));
	assert_int_equal(sleep_until(&t, T0, T0 + 60 * S, &when), TIMERS_SEND_KEEPALIVE);
	assert_int_equal(when, T0 + KEEPALIVE_TIMEOUT);
	/* A received keepalive is not answered, or keepalives would never end. */
	assert_false(timers_message_received(&t, false, T0 + 61 * S));
	assert_int_equal(timers_next(&t, T0 + 61 * S), TIMERS_NEVER);
}

static void any_sent_message_is_an_acknowledgement(void **state)
{
	struct timers t;

	(void)state;
	up(&t);
	timers_message_received(&t, true, T0);
	timers_message_sent(&t, false, T0 + 9 * S);
	assert_int_equal(sleep_until(&t, T0 + 9 * S, T0 + 60 * S, NULL), 0);
}

static void a_stream_received_is_acknowledged_again_and_again(void **state)
{
	struct timers t;
	unsigned int keepalives = 0;

	(void)state;
	up(&t);
	for (uint64_t now = T0; now < T0 + 60 * S; now += S / 10) {
		timers_message_received(&t, true, now);
		if (timers_due(&t, now) & TIMERS_SEND_KEEPALIVE) {
			keepalives++;
			timers_message_sent(&t, false, now);
		}
	}
	assert_in_range(keepalives, 5, 6);
}

static void more_data_while_one_is_due_makes_another(void **state)
{
	struct timers t;

	(void)state;
	up(&t);
	timers_message_received(&t, true, T0);
	timers_message_received(&t, true, T0 + 9 * S);
	assert_int_equal(timers_due(&t, T0 + 10 * S), TIMERS_SEND_KEEPALIVE);
	/* If nothing could be sent, the next one is due after the same time. */
	assert_int_equal(timers_due(&t, T0 + 20 * S - 1), 0);
	assert_int_equal(timers_due(&t, T0 + 20 * S), TIMERS_SEND_KEEPALIVE);
	assert_int_equal(timers_due(&t, T0 + 60 * S), 0);
}

static void initiations_are_repeated_for_ninety_seconds(void **state)
{
	uint64_t now = T0, last = T0;
	unsigned int repeated = 0;
	struct timers t;

	(void)state;
	up(&t);
	timers_handshake_initiated(&t, now, 12345678901ull);
	for (;;) {
		unsigned int due;

		now = timers_next(&t, now);
		assert_in_range(now - last, REKEY_TIMEOUT, REKEY_TIMEOUT + REKEY_TIMEOUT_JITTER);
		due = timers_due(&t, now);
		if (due == TIMERS_GIVE_UP)
			break;
		assert_int_equal(due, TIMERS_RETRY_INITIATION);
		repeated++;
		last = now;
		timers_handshake_initiated(&t, now, repeated * 987654321ull);
	}
	assert_int_equal(repeated, 18);
	assert_in_range(now - T0, 90 * S, 19 * (REKEY_TIMEOUT + REKEY_TIMEOUT_JITTER));
	/* In the end, all that the attempts left is wiped. */
	assert_int_equal(sleep_until(&t, now, now + 541 * S, NULL), TIMERS_ZERO_KEYS);
}

static void a_response_ends_the_attempt(void **state)
{
	struct timers t;

	(void)state;
	up(&t);
	timers_handshake_initiated(&t, T0, 0);
	assert_int_equal(timers_due(&t, T0 + 5 * S), TIMERS_RETRY_INITIATION);
	timers_handshake_initiated(&t, T0 + 5 * S, 0);
	timers_handshake_complete(&t);
	assert_int_equal(t.attempts, 0);
	assert_int_equal(sleep_until(&t, T0 + 6 * S, T0 + 60 * S, NULL), 0);
}

static void keys_go_after_540_seconds(void **state)
{
	uint64_t when = 0;
	struct timers t;

	(void)state;
	up(&t);
	timers_session_derived(&t, T0);
	timers_session_derived(&t, T0 + 100 * S); /* a newer session delays it */
	assert_int_equal(sleep_until(&t, T0, T0 + 1000 * S, &when), TIMERS_ZERO_KEYS);
	assert_int_equal(when, T0 + 640 * S);
}

static void persistent_keepalive(void **state)
{
	uint64_t when = 0;
	struct timers t;

	(void)state;
	up(&t);
	timers_persistent_keepalive_set(&t, 25 * S);
	assert_int_equal(timers_due(&t, T0), TIMERS_SEND_KEEPALIVE); /* at once */
	assert_int_equal(sleep_until(&t, T0, T0 + 25 * S, &when), TIMERS_SEND_KEEPALIVE);
	assert_int_equal(when, T0 + 25 * S);
	/* Any traffic, in either direction, delays it. */
	timers_message_received(&t, false, T0 + 40 * S);
	assert_int_equal(timers_due(&t, T0 + 64 * S), 0);
	assert_int_equal(timers_due(&t, T0 + 65 * S), TIMERS_SEND_KEEPALIVE);
	timers_persistent_keepalive_set(&t, 0);
	assert_int_equal(sleep_until(&t, T0 + 70 * S, T0 + 200 * S, NULL), 0);
}

static void nothing_is_due_while_down(void **state)
{
	struct timers t;

	(void)state;
	up(&t);
	timers_message_sent(&t, true, T0);
	timers_handshake_initiated(&t, T0, 0);
	timers_session_derived(&t, T0);
	timers_up(&t, false);
	assert_int_equal(timers_due(&t, T0 + 1000 * S), 0);
	assert_int_equal(timers_next(&t, T0 + 1000 * S), TIMERS_NEVER);
	timers_up(&t, true);
	assert_int_equal(timers_due(&t, T0 + 2000 * S), 0);
}

/* Workers report events while the owner sleeps until timers_next(). Nothing is done more than a
 * moment late, and reports wake the owner at most a few times per minute. */
static void no_wake_up_is_lost_or_wasted(void **state)
{
	uint64_t random = 42, now = T0, wake = TIMERS_NEVER;
	unsigned int reports = 0;
	struct timers t;

	(void)state;
	up(&t);
	for (unsigned int i = 0; i < 200000; i++) {
		bool report;

		now += draw(&random) % 100 < 2 ? draw(&random) * 10ull : draw(&random) % 1000000;
		while (wake <= now) {
			uint64_t at = wake;

			timers_due(&t, at);
			wake = timers_next(&t, at);
			if (wake == at)
				fail_msg("owner would spin");
		}
		uint64_t unanswered = t.unanswered_since, unacknowledged = t.unacknowledged_since;

		if (unanswered && now > unanswered + 15 * S + REKEY_TIMEOUT_JITTER)
			fail_msg("initiation is late");
		if (unacknowledged && now > unacknowledged + 10 * S)
			fail_msg("keepalive is late");
		report = draw(&random) & 1 ? timers_message_sent(&t, draw(&random) & 1, now)
					   : timers_message_received(&t, draw(&random) & 1, now);
		if (report) {
			reports++;
			wake = timers_next(&t, now);
		}
	}
	assert_true(reports > 0);
	assert_true(reports < (now - T0) / S);
}

static void when_to_rekey(void **state)
{
	(void)state;
	assert_false(rekey_wanted_after_send(true, 120 * S - 1, 1));
	assert_true(rekey_wanted_after_send(true, 120 * S, 1));
	assert_false(rekey_wanted_after_send(false, 179 * S, 1)); /* the initiator does */
	assert_false(rekey_wanted_after_send(false, 0, REKEY_AFTER_MESSAGES - 1));
	assert_true(rekey_wanted_after_send(false, 0, REKEY_AFTER_MESSAGES));
	assert_false(rekey_wanted_after_receive(true, 165 * S - 1));
	assert_true(rekey_wanted_after_receive(true, 165 * S));
	assert_false(rekey_wanted_after_receive(false, 179 * S));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_happens_by_itself),
		cmocka_unit_test(unanswered_data_starts_a_handshake),
		cmocka_unit_test(an_answer_cancels_the_handshake),
		cmocka_unit_test(a_sent_keepalive_expects_no_answer),
		cmocka_unit_test(data_received_is_acknowledged),
		cmocka_unit_test(any_sent_message_is_an_acknowledgement),
		cmocka_unit_test(a_stream_received_is_acknowledged_again_and_again),
		cmocka_unit_test(more_data_while_one_is_due_makes_another),
		cmocka_unit_test(initiations_are_repeated_for_ninety_seconds),
		cmocka_unit_test(a_response_ends_the_attempt),
		cmocka_unit_test(keys_go_after_540_seconds),
		cmocka_unit_test(persistent_keepalive),
		cmocka_unit_test(nothing_is_due_while_down),
		cmocka_unit_test(no_wake_up_is_lost_or_wasted),
		cmocka_unit_test(when_to_rekey),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
