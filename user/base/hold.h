/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holds threads at a place where they touch nothing that is shared, until they are released. A
 * thread that is held still exists: going on cannot fail.
 *
 * Each thread calls hold_here() at that place whenever hold_wanted() says so. Another thread calls
 * the other functions.
 */
#ifndef BASE_HOLD_H
#define BASE_HOLD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct hold {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	_Atomic bool wanted;
	unsigned int held; /* threads that are in hold_here() */
};

#define HOLD_NONE                                                                                  \
	{                                                                                          \
		.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER             \
	}

static inline bool hold_wanted(struct hold *h)
{
	return atomic_load_explicit(&h->wanted, memory_order_acquire);
}

/* Returns when the hold has ended, or when `*stopping`. */
static inline void hold_here(struct hold *h, const _Atomic bool *stopping)
{
	pthread_mutex_lock(&h->lock);
	h->held++;
	pthread_cond_broadcast(&h->changed);
	while (hold_wanted(h) && !atomic_load(stopping))
		pthread_cond_wait(&h->changed, &h->lock);
	h->held--;
	pthread_mutex_unlock(&h->lock);
}

static inline void hold_begin(struct hold *h)
{
	atomic_store(&h->wanted, true);
}

/* Waits until n threads are held. The caller has to wake those that sleep. */
static inline void hold_wait(struct hold *h, unsigned int n)
{
	pthread_mutex_lock(&h->lock);
	while (h->held < n)
		pthread_cond_wait(&h->changed, &h->lock);
	pthread_mutex_unlock(&h->lock);
}

/* Lets all go on. */
static inline void hold_end(struct hold *h)
{
	pthread_mutex_lock(&h->lock);
	atomic_store(&h->wanted, false);
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

/* A held thread looks again whether it has to stop. */
static inline void hold_wake(struct hold *h)
{
	pthread_mutex_lock(&h->lock);
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

#endif
