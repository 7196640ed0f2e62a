/* SPDX-License-Identifier: Apache-2.0 */
#include "http/snapshots.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

#define BEAT_MS 500

struct snapshots {
	char *(*make)(void *context, size_t i, int *status);
	void *context;
	struct event *on_requested, *on_beat; /* maker's */
	int to_maker, to_server;	      /* eventfds */
	_Atomic uint64_t beat; /* ns, monotonic: the last pass of the maker's event loop */
	pthread_mutex_t lock;  /* guards the members below; held briefly */
	bool requested[SNAPSHOTS_MAX], ready[SNAPSHOTS_MAX];
	struct snapshot made[SNAPSHOTS_MAX];
};

/* Several writes before a read count as one. */
static void wake(int fd)
{
	eventfd_write(fd, 1);
}

static void drain(int fd)
{
	eventfd_t n;

	eventfd_read(fd, &n);
}

/* --- the maker --- */

/* The first document that is requested, and whether more are. SNAPSHOTS_MAX: none. */
static size_t next_requested(struct snapshots *s, bool *more)
{
	size_t first = SNAPSHOTS_MAX;

	*more = false;
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < SNAPSHOTS_MAX; i++) {
		if (!s->requested[i])
			continue;
		*more |= first != SNAPSHOTS_MAX;
		if (first == SNAPSHOTS_MAX) {
			first = i;
			s->requested[i] = false;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return first;
}

static void on_requested(evutil_socket_t fd, short what, void *context)
{
	struct snapshot fresh = {.status = 200};
	struct snapshots *s = context;
	const uint64_t begin = clock_now();
	char *unclaimed;
	bool more;
	size_t i;

	(void)what;
	drain(fd);
	i = next_requested(s, &more);
	if (i == SNAPSHOTS_MAX)
		return;
	fresh.text = s->make(s->context, i, &fresh.status);
	fresh.cost_ns = clock_now() - begin;
	pthread_mutex_lock(&s->lock);
	unclaimed = s->made[i].text;
	s->made[i] = fresh;
	s->ready[i] = true;
	pthread_mutex_unlock(&s->lock);
	free(unclaimed);
	wake(s->to_server);
	/* One document per pass of the loop, so that the maker's other work gets its turn. */
	if (more)
		wake(s->to_maker);
}

static void on_beat(evutil_socket_t fd, short what, void *context)
{
	struct snapshots *s = context;

	(void)fd;
	(void)what;
	atomic_store_explicit(&s->beat, clock_now(), memory_order_relaxed);
}

/* --- the server --- */

void snapshots_request(struct snapshots *s, size_t i)
{
	pthread_mutex_lock(&s->lock);
	s->requested[i] = true;
	pthread_mutex_unlock(&s->lock);
	wake(s->to_maker);
}

int snapshots_fd(const struct snapshots *s)
{
	return s->to_server;
}

void snapshots_drain(struct snapshots *s)
{
	drain(s->to_server);
}

bool snapshots_take(struct snapshots *s, size_t i, struct snapshot *out)
{
	bool ready;

	pthread_mutex_lock(&s->lock);
	ready = s->ready[i];
	if (ready) {
		*out = s->made[i];
		s->made[i] = (struct snapshot){NULL, 0, 0};
		s->ready[i] = false;
	}
	pthread_mutex_unlock(&s->lock);
	return ready;
}

uint64_t snapshots_silence_ms(const struct snapshots *s)
{
	return (clock_now() - atomic_load_explicit(&s->beat, memory_order_relaxed)) / 1000000;
}

/* --- making and freeing --- */

int snapshots_new(struct event_base *base, char *(*make)(void *context, size_t i, int *status),
		  void *context, struct snapshots **out)
{
	const struct timeval often = {0, BEAT_MS * 1000};
	struct snapshots *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->make = make;
	s->context = context;
	pthread_mutex_init(&s->lock, NULL);
	atomic_store(&s->beat, clock_now());
	s->to_maker = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	s->to_server = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->to_maker < 0 || s->to_server < 0) {
		const int err = -errno;

		snapshots_free(s);
		return err;
	}
	s->on_requested = event_new(base, s->to_maker, EV_READ | EV_PERSIST, on_requested, s);
	s->on_beat = event_new(base, -1, EV_PERSIST, on_beat, s);
	if (!s->on_requested || !s->on_beat || event_add(s->on_requested, NULL) ||
	    event_add(s->on_beat, &often)) {
		snapshots_free(s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

void snapshots_free(struct snapshots *s)
{
	if (!s)
		return;
	if (s->on_requested)
		event_free(s->on_requested);
	if (s->on_beat)
		event_free(s->on_beat);
	for (size_t i = 0; i < SNAPSHOTS_MAX; i++)
		free(s->made[i].text);
	if (s->to_maker >= 0)
		close(s->to_maker);
	if (s->to_server >= 0)
		close(s->to_server);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
