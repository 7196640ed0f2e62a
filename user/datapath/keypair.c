/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/keypair.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/elapsed.h"

struct keypair *keypair_new(const struct noise_keys *keys, struct remote *remote, uint64_t now)
{
	/* Aligned to a cache line: the keys fill the first line, so the counter that all workers
	 * change is in another one. */
	struct keypair *k = aligned_alloc(64, (sizeof(*k) + 63) & ~(size_t)63);

	if (!k)
		return NULL;
	memset(k, 0, sizeof(*k));
	memcpy(k->sending_key, keys->sending, KEY_SIZE);
	memcpy(k->receiving_key, keys->receiving, KEY_SIZE);
	k->local_index = keys->local_index;
	k->remote_index = keys->remote_index;
	k->initiator = keys->initiator;
	k->birth = now;
	k->remote = remote;
	/* The response proved to the initiator that the other end has the keys. */
	atomic_store_explicit(&k->trust, keys->initiator ? KEYPAIR_REPORTED : KEYPAIR_UNCONFIRMED,
			      memory_order_relaxed);
	cds_lfht_node_init(&k->node);
	return k;
}

static void release(struct rcu_head *head)
{
	struct keypair *k = caa_container_of(head, struct keypair, rcu);

	sodium_memzero(k, sizeof(*k));
	free(k);
}

void keypair_retire(struct keypair *k)
{
	if (!k)
		return;
	atomic_store_explicit(&k->dead, true, memory_order_relaxed);
	call_rcu(&k->rcu, release);
}

static bool alive(const struct keypair *k, uint64_t now)
{
	return !atomic_load_explicit(&k->dead, memory_order_relaxed) &&
	       elapsed(k->birth, now) < REJECT_AFTER_TIME;
}

bool keypair_can_send(const struct keypair *k, uint64_t now)
{
	return k && alive(k, now) &&
	       atomic_load_explicit(&k->sending_counter, memory_order_relaxed) <
		       REJECT_AFTER_MESSAGES;
}

bool keypair_reserve(struct keypair *k, uint32_t n, uint64_t *first)
{
	uint64_t start = atomic_fetch_add_explicit(&k->sending_counter, n, memory_order_relaxed);

	/* Past the limit the counter is set back to the limit. The limit is 2^13 below 2^64, so the
	 * counter cannot wrap unless thousands of workers add to it at the same moment. */
	if (start >= REJECT_AFTER_MESSAGES - n) {
		atomic_store_explicit(&k->sending_counter, REJECT_AFTER_MESSAGES,
				      memory_order_relaxed);
		return false;
	}
	*first = start;
	return true;
}

void keypair_leave_counters(struct keypair *k)
{
	const uint64_t next = atomic_load_explicit(&k->sending_counter, memory_order_relaxed);
	const bool enough = next < REJECT_AFTER_MESSAGES - KEYPAIR_LEFT_TO_ANOTHER;

	atomic_store_explicit(&k->sending_counter,
			      enough ? next + KEYPAIR_LEFT_TO_ANOTHER : REJECT_AFTER_MESSAGES,
			      memory_order_relaxed);
}

bool keypair_can_receive(const struct keypair *k, uint64_t now)
{
	return alive(k, now);
}

static bool change(struct keypair *k, int from, int to)
{
	/* Usually the state is REPORTED. The plain load avoids a write then. */
	return atomic_load_explicit(&k->trust, memory_order_relaxed) == from &&
	       atomic_compare_exchange_strong_explicit(&k->trust, &from, to, memory_order_acq_rel,
						       memory_order_relaxed);
}

bool keypair_confirm(struct keypair *k)
{
	return change(k, KEYPAIR_UNCONFIRMED, KEYPAIR_CONFIRMED);
}

bool keypair_report(struct keypair *k)
{
	return change(k, KEYPAIR_CONFIRMED, KEYPAIR_REPORTED);
}

void keypair_report_failed(struct keypair *k)
{
	change(k, KEYPAIR_REPORTED, KEYPAIR_CONFIRMED);
}

bool keypair_withdraw(struct keypair *k)
{
	return change(k, KEYPAIR_UNCONFIRMED, KEYPAIR_WITHDRAWN);
}
