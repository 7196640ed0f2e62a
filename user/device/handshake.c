/* SPDX-License-Identifier: Apache-2.0 */
#include "device/handshake.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hold.h"
#include "device/gate.h"
#include "device/peer.h"

/* Handles at most so many events, or peers, before other work gets its turn. */
#define BATCH 64
/* How long the old port stays open after a change of port. Peers learn the new port from our next
 * message or from the store. */
#define OLD_PORT_SECONDS 5
/* Before the thread is held it handles the messages that wait, but a flood of them no longer than
 * this: their senders try again. */
#define LAST_MESSAGES (10 * NSEC_PER_MSEC)

struct handshaker {
	struct device *device;
	pthread_t thread;
	bool started;
	struct event_base *base;
	struct event *on_event, *on_wake, *on_close_old_port;
	int wake; /* eventfd */
	_Atomic bool stopping;
	struct hold hold; /* of the thread */
	struct gate *gate;
};

static void on_timer(evutil_socket_t fd, short what, void *context);

static void schedule(struct handshaker *h, struct peer *p, uint64_t at, uint64_t now)
{
	struct timeval delay;

	if (!p->timer)
		p->timer = evtimer_new(h->base, on_timer, p);
	if (!p->timer)
		return;
	if (at == TIMERS_NEVER) {
		evtimer_del(p->timer);
		return;
	}
	/* Rounded up: a timer that fires early would find nothing due and fire again at once. */
	at = at > now ? at - now : 0;
	delay.tv_sec = (time_t)(at / NSEC_PER_SEC);
	delay.tv_usec = (suseconds_t)(at % NSEC_PER_SEC / 1000 + 1);
	if (delay.tv_usec >= 1000000) {
		delay.tv_usec -= 1000000;
		delay.tv_sec++;
	}
	evtimer_add(p->timer, &delay);
}

static void run_timers(struct handshaker *h, struct peer *p, uint64_t now)
{
	schedule(h, p, protocol_timers(p, now), now);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct peer *p = context;
	struct device *d = p->device;

	(void)fd;
	(void)what;
	device_lock(d);
	/* The timer of a removed peer may fire before the peer is freed. */
	if (!p->removed)
		run_timers(d->handshaker, p, clock_now());
	device_unlock(d);
}

/* Frees the peers that peer_withdraw() removed, after a grace period. */
static void free_removed_peers(struct device *d)
{
	struct peer_list gone = TAILQ_HEAD_INITIALIZER(gone);
	struct peer *p;

	device_lock(d);
	TAILQ_CONCAT(&gone, &d->removals, removal);
	device_unlock(d);
	if (TAILQ_EMPTY(&gone))
		return;
	synchronize_rcu();
	while ((p = TAILQ_FIRST(&gone))) {
		TAILQ_REMOVE(&gone, p, removal);
		peer_free(p);
	}
}

static void on_close_old_port(evutil_socket_t fd, short what, void *context)
{
	struct handshaker *h = context;

	(void)fd;
	(void)what;
	device_lock(h->device);
	datapath_close_old_port(h->device->datapath);
	device_unlock(h->device);
}

/* Takes the next peer out of the attention list. NULL: the list is empty. */
static struct peer *next_to_look_at(struct device *d)
{
	struct peer *p = TAILQ_FIRST(&d->attention);

	if (p) {
		TAILQ_REMOVE(&d->attention, p, attention_entry);
		p->attention = false;
	}
	return p;
}

static void process_attention(struct handshaker *h)
{
	const struct timeval close_delay = {OLD_PORT_SECONDS, 0};
	struct device *d = h->device;
	struct peer *p = NULL;
	unsigned int n = 0;

	/* Take the lock for each peer separately, and let messages have their turn after BATCH. */
	do {
		const uint64_t now = device_lock(d);

		p = next_to_look_at(d);
		if (p)
			run_timers(h, p, now);
		device_unlock(d);
	} while (p && ++n < BATCH);
	if (p)
		handshaker_wake(h);
	free_removed_peers(d);
	device_lock(d);
	uplink_update(d->uplink);
	if (datapath_has_old_port(d->datapath))
		evtimer_add(h->on_close_old_port, &close_delay);
	device_unlock(d);
}

static unsigned int handle_events(struct handshaker *h);

/* Held: the workers have stopped, so the events that wait are the last ones. */
static void stay_here(struct handshaker *h)
{
	const uint64_t begin = clock_now();

	while (clock_now() - begin < LAST_MESSAGES && handle_events(h))
		;
	hold_here(&h->hold, &h->stopping);
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
	struct handshaker *h = context;
	uint64_t times;

	(void)what;
	if (read(fd, &times, sizeof(times)) < 0 && errno != EAGAIN)
		return;
	if (hold_wanted(&h->hold))
		stay_here(h);
	if (atomic_load(&h->stopping))
		event_base_loopbreak(h->base);
	else
		process_attention(h);
}

/* An event about one of our peers. */
static void on_signal(struct handshaker *h, const struct datapath_event *e)
{
	struct device *d = h->device;
	const uint64_t now = device_lock(d);
	struct peer *p = peer_find_slot(d, e->slot, e->generation);

	if (p && d->up) {
		switch (e->type) {
		case DATAPATH_WANT_SESSION:
			protocol_initiate(p, now, HANDSHAKE_STARTED_TRAFFIC);
			break;
		case DATAPATH_CONFIRMED:
			if (session_confirm(p, e->index)) {
				timers_handshake_complete(&p->remote.timers);
				clock_gettime(CLOCK_REALTIME, &p->last_handshake);
				p->sessions++;
				atomic_store(&p->remote.handshake_requested, false);
				device_count(d, HANDSHAKE_FINISHED_RESPONDER);
				device_session_news(d);
			}
			break;
		case DATAPATH_WATCH_TIMERS:
		case DATAPATH_HANDSHAKE_MESSAGE:
			break;
		}
		run_timers(h, p, now);
	}
	device_unlock(d);
}

/* Handles a batch; returns how many events were there. */
static unsigned int handle_events(struct handshaker *h)
{
	struct datapath_event e;
	unsigned int n;

	for (n = 0; n < BATCH && !datapath_event_read(h->device->datapath, &e); n++) {
		if (e.type == DATAPATH_HANDSHAKE_MESSAGE)
			protocol_receive(h->device, &e.message, gate_under_load(h->gate), h->gate);
		else
			on_signal(h, &e);
	}
	gate_flush(h->gate);
	return n;
}

static void on_event(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	handle_events(context);
}

static void *run(void *context)
{
	struct handshaker *h = context;

	pthread_setname_np(pthread_self(), "podveil-hs");
	rcu_register_thread();
	rcu_thread_offline();
	if (hold_wanted(&h->hold))
		hold_here(&h->hold, &h->stopping);
	event_base_loop(h->base, EVLOOP_NO_EXIT_ON_EMPTY);
	rcu_thread_online();
	rcu_unregister_thread();
	return NULL;
}

int handshaker_new(struct device *d, bool held, struct handshaker **out)
{
	struct handshaker *h = calloc(1, sizeof(*h));
	int err = -ENOMEM;

	if (!h)
		return -ENOMEM;
	h->device = d;
	h->hold = (struct hold)HOLD_NONE;
	if (held)
		hold_begin(&h->hold);
	h->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	h->base = event_base_new();
	h->gate = gate_new(d);
	if (h->wake < 0 || !h->base || !h->gate)
		goto fail;
	h->on_wake = event_new(h->base, h->wake, EV_READ | EV_PERSIST, on_wake, h);
	h->on_event = event_new(h->base, datapath_event_fd(d->datapath), EV_READ | EV_PERSIST,
				on_event, h);
	h->on_close_old_port = evtimer_new(h->base, on_close_old_port, h);
	if (!h->on_wake || !h->on_event || !h->on_close_old_port || event_add(h->on_wake, NULL) ||
	    event_add(h->on_event, NULL))
		goto fail;
	err = uplink_new(d, h->base, &d->uplink);
	if (err)
		goto fail;
	*out = h;
	err = -pthread_create(&h->thread, NULL, run, h);
	if (err) {
		*out = NULL;
		goto fail;
	}
	h->started = true;
	return 0;
fail:
	handshaker_free(h);
	return err;
}

void handshaker_wake(struct handshaker *h)
{
	const uint64_t one = 1;

	/* EAGAIN: the eventfd's counter is full, so the thread wakes anyway. */
	if (h && write(h->wake, &one, sizeof(one)) < 0)
		return;
}

void handshaker_hold(struct handshaker *h)
{
	hold_begin(&h->hold);
	handshaker_wake(h);
	hold_wait(&h->hold, 1);
}

void handshaker_release(struct handshaker *h)
{
	hold_end(&h->hold);
	handshaker_wake(h);
}

void handshaker_free(struct handshaker *h)
{
	if (!h)
		return;
	if (h->started) {
		atomic_store(&h->stopping, true);
		handshaker_wake(h);
		hold_wake(&h->hold);
		pthread_join(h->thread, NULL);
		/* The thread has ended. Free the peers' timers before their event base. */
		free_removed_peers(h->device);
	}
	if (h->device->uplink) {
		device_lock(h->device);
		uplink_free(h->device->uplink);
		h->device->uplink = NULL;
		device_unlock(h->device);
	}
	if (h->on_event)
		event_free(h->on_event);
	if (h->on_wake)
		event_free(h->on_wake);
	if (h->on_close_old_port)
		event_free(h->on_close_old_port);
	gate_free(h->gate);
	if (h->base)
		event_base_free(h->base);
	if (h->wake >= 0)
		close(h->wake);
	free(h);
}
