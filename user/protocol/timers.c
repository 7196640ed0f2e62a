/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/timers.h"

#include <string.h>

#define load(field)	    atomic_load_explicit(&t->field, memory_order_relaxed)
#define store(field, value) atomic_store_explicit(&t->field, value, memory_order_relaxed)

/* We sent data and received nothing for this long: the peer may have lost the session. */
#define UNANSWERED_LIMIT (KEEPALIVE_TIMEOUT + REKEY_TIMEOUT)

void timers_init(struct timers *t)
{
	memset(t, 0, sizeof(*t));
	t->retransmit_at = t->zero_keys_at = TIMERS_NEVER;
}

/*
 * No lost wake-up: a worker writes its fact and then exchanges owner_watches; the owner, in
 * timers_next(), clears owner_watches and then reads the facts. Both are sequentially consistent,
 * so at least one of them sees the other's write: either the owner sees the fact and sets the flag
 * again, or the worker finds the flag cleared and reports.
 */
static bool owner_must_look(struct timers *t)
{
	if (atomic_load(&t->owner_watches))
		return false;
	return !atomic_exchange(&t->owner_watches, true);
}

bool timers_message_sent(struct timers *t, bool payload, uint64_t now)
{
	bool made_deadline = false;

	store(last_traversal, now);
	if (load(unacknowledged_since))
		store(unacknowledged_since, 0);
	if (load(more_unacknowledged))
		store(more_unacknowledged, false);
	if (payload && !load(unanswered_since)) {
		atomic_store(&t->unanswered_since, now);
		made_deadline = true;
	}
	return made_deadline && owner_must_look(t);
}

bool timers_message_received(struct timers *t, bool payload, uint64_t now)
{
	bool made_deadline = false;

	store(last_traversal, now);
	if (load(unanswered_since))
		store(unanswered_since, 0);
	if (payload) {
		if (load(unacknowledged_since)) {
			if (!load(more_unacknowledged))
				store(more_unacknowledged, true);
		} else {
			atomic_store(&t->unacknowledged_since, now);
			made_deadline = true;
		}
	}
	return made_deadline && owner_must_look(t);
}

void timers_handshake_initiated(struct timers *t, uint64_t now, uint64_t jitter)
{
	t->jitter = jitter % REKEY_TIMEOUT_JITTER;
	t->retransmit_at = now + REKEY_TIMEOUT + t->jitter;
	store(last_traversal, now);
}

void timers_handshake_complete(struct timers *t)
{
	t->retransmit_at = TIMERS_NEVER;
	t->attempts = 0;
}

void timers_session_derived(struct timers *t, uint64_t now)
{
	t->zero_keys_at = now + 3 * REJECT_AFTER_TIME;
}

void timers_persistent_keepalive_set(struct timers *t, uint64_t interval_ns)
{
	t->persistent_interval = interval_ns;
	/* Switched on: the first one is due at once (wg(8)). */
	if (interval_ns)
		store(last_traversal, 0);
}

void timers_up(struct timers *t, bool up)
{
	t->up = up;
	if (up)
		return;
	store(unanswered_since, 0);
	store(unacknowledged_since, 0);
	store(more_unacknowledged, false);
	t->retransmit_at = t->zero_keys_at = TIMERS_NEVER;
	t->attempts = 0;
}

/* When a fact becomes an action; 0 is "never happened". */
static uint64_t after(uint64_t since, uint64_t delay)
{
	return since ? since + delay : TIMERS_NEVER;
}

static uint64_t persistent_at(const struct timers *t)
{
	uint64_t last = load(last_traversal);

	if (!t->persistent_interval)
		return TIMERS_NEVER;
	return last ? last + t->persistent_interval : 0;
}

unsigned int timers_due(struct timers *t, uint64_t now)
{
	unsigned int due = 0;

	if (!t->up)
		return 0;
	if (now >= t->retransmit_at) {
		t->retransmit_at = TIMERS_NEVER;
		if (t->attempts >= MAX_HANDSHAKE_ATTEMPTS) {
			due |= TIMERS_GIVE_UP;
			store(unacknowledged_since, 0);
			/* Also if there never was a session: this wipes the keys of the failed
			 * attempts. */
			if (t->zero_keys_at == TIMERS_NEVER)
				t->zero_keys_at = now + 3 * REJECT_AFTER_TIME;
		} else {
			t->attempts++;
			due |= TIMERS_RETRY_INITIATION;
		}
	}
	if (now >= after(load(unanswered_since), UNANSWERED_LIMIT + t->jitter)) {
		store(unanswered_since, 0);
		due |= TIMERS_SEND_INITIATION;
	}
	if (now >= after(load(unacknowledged_since), KEEPALIVE_TIMEOUT)) {
		/* More data arrived meanwhile: the next keepalive is due one interval later. */
		if (atomic_exchange_explicit(&t->more_unacknowledged, false, memory_order_relaxed))
			store(unacknowledged_since, now);
		else
			store(unacknowledged_since, 0);
		due |= TIMERS_SEND_KEEPALIVE;
	}
	if (now >= persistent_at(t)) {
		/* Also if it cannot be sent: the next attempt follows after one interval. */
		store(last_traversal, now);
		due |= TIMERS_SEND_KEEPALIVE;
	}
	if (now >= t->zero_keys_at) {
		t->zero_keys_at = TIMERS_NEVER;
		due |= TIMERS_ZERO_KEYS;
	}
	return due;
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t timers_next(struct timers *t, uint64_t now)
{
	uint64_t next;

	atomic_store(&t->owner_watches, false);
	if (!t->up)
		return TIMERS_NEVER;
	next = earliest(after(atomic_load(&t->unanswered_since), UNANSWERED_LIMIT + t->jitter),
			after(atomic_load(&t->unacknowledged_since), KEEPALIVE_TIMEOUT));
	if (next != TIMERS_NEVER) {
		/* A fact that a worker writes from now on is due KEEPALIVE_TIMEOUT later at the
		 * earliest. If the owner wakes before then anyway, workers need not report. */
		atomic_store(&t->owner_watches, true);
		next = earliest(next, now + KEEPALIVE_TIMEOUT);
	}
	/* Workers can only postpone this deadline. Only the owner changes the others. */
	next = earliest(next, persistent_at(t));
	next = earliest(next, t->retransmit_at);
	next = earliest(next, t->zero_keys_at);
	return next < now ? now : next;
}
