/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/worker.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "datapath/scheduling.h"
#include "wire/wire_open.h"
#include "wire/wire_xdp.h"

/* If TRICKLE_PASSES passes in a row find fewer than TRICKLE_MESSAGES messages, all in one
 * direction, the worker sleeps for NAP, so that more arrive and are handled together. Passes that
 * find nothing do not reset the count. docs/benchmark-notes.md ("Why a worker sleeps under light
 * load") has the measurements. */
#define TRICKLE_PASSES	 32
#define TRICKLE_MESSAGES 24
#define NAP		 50000 /* ns */

/* Passes that found little, all of it going the same way, since the worker slept. */
struct trickle {
	uint64_t sent, received; /* counters after the last pass */
	bool outwards;
	unsigned int passes;
};

/* Values from SOURCE_WIRE on stand for the parts of the wire. */
enum source { SOURCE_TUNNEL, SOURCE_OLD_WIRE, SOURCE_KICK, SOURCE_WIRE };

#define N_SOURCES ((int)SOURCE_WIRE + WIRE_PARTS)

static int watch(struct worker *w, int fd, unsigned int source)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = source};

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

/* Adds the counters that the kernel keeps for the AF_XDP sockets. */
static void read_kernel_statistics(struct worker *w)
{
	struct wire_xdp *queue = rcu_dereference(w->queue);
	struct xsk_statistics fresh;

	w->statistics_read_at = w->now;
	if (queue)
		wire_xdp_count(queue, w->count);
	xsk_statistics(w->xsk, &fresh);
	w->count->xsk_rx_dropped += fresh.rx_dropped;
	w->count->xsk_ring_full += fresh.ring_full;
	w->count->xsk_fill_empty += fresh.fill_empty;
}

/* Sleeps if there was nothing to do; else only polls. */
static void wait_for_work(struct worker *w, bool idle)
{
	struct epoll_event events[N_SOURCES];
	int n;

	if (idle) {
		read_kernel_statistics(w);
		w->count->busy_ns += clock_now() - w->now;
		rcu_thread_offline();
		n = epoll_wait(w->epoll, events, N_SOURCES, -1);
		rcu_thread_online();
		w->count->wakeups++;
	} else {
		/* A worker that never sleeps reads them once a second. */
		if (w->now - w->statistics_read_at > NSEC_PER_SEC)
			read_kernel_statistics(w);
		n = epoll_wait(w->epoll, events, N_SOURCES, 0);
	}
	for (int i = 0; i < n; i++) {
		switch (events[i].data.u32) {
		case SOURCE_TUNNEL: /* each pass reads its ring anyway */
			break;
		case SOURCE_OLD_WIRE:
			w->old_wire_ready = true;
			break;
		case SOURCE_KICK:
			w->kicked = true;
			break;
		default:
			w->ready[events[i].data.u32 - SOURCE_WIRE] = true;
		}
	}
}

static bool is_trickle(struct trickle *t, const struct worker *w, bool busy)
{
	const uint64_t sent = w->count->egress_packets - t->sent;
	const uint64_t received = w->count->wire_messages_received - t->received;

	t->sent += sent;
	t->received += received;
	if (!busy)
		return false;
	/* If the worker could not empty its socket, it does not sleep: in a flood the socket would
	 * fill at once, and messages of sessions would be lost, too. */
	if (w->more_to_read || (sent && received) || sent + received >= TRICKLE_MESSAGES ||
	    t->outwards != (sent > 0))
		t->passes = 0;
	else
		t->passes++;
	t->outwards = sent > 0;
	return t->passes >= TRICKLE_PASSES;
}

/* Waits until more messages have arrived, so that they are handled together. */
static void nap(struct worker *w)
{
	datapath_sleep(NAP);
	w->now = clock_now();
}

/* Runs under SCHED_RR if low latency is set and there are not many small packets (scheduling.h). */
static void choose_scheduling(struct scheduling *p, const struct worker *w)
{
	const bool realtime =
		atomic_load_explicit(&w->datapath->low_latency, memory_order_relaxed) &&
		!scheduling_many_small_packets(
			p, w->now, w->count->egress_superpackets + w->count->ingress_superpackets,
			w->count->egress_bytes + w->count->ingress_bytes);

	if (realtime == p->realtime)
		return;
	/* device/latency.c has tried before whether SCHED_RR is allowed. */
	scheduling_set_realtime(realtime);
	p->realtime = realtime;
}

static void *run(void *context)
{
	struct worker *w = context;
	uint64_t last_work = 0;
	struct trickle trickle = {0};
	struct scheduling scheduling = {0};
	char name[16];

	snprintf(name, sizeof(name), "podveil-w%u", w->id);
	pthread_setname_np(pthread_self(), name);
	prctl(PR_SET_TIMERSLACK, 1); /* makes short sleeps precise */
	rcu_register_thread();
	w->now = clock_now();
	while (!atomic_load_explicit(&w->stopping, memory_order_relaxed)) {
		bool busy;

		if (hold_wanted(&w->datapath->hold)) {
			rcu_thread_offline();
			hold_here(&w->datapath->hold, &w->stopping);
			rcu_thread_online();
			w->now = clock_now();
			/* Staged packets of the process before wait for their first look. */
			egress_unstage(w);
			continue;
		}
		if (w->kicked) {
			uint64_t kicks;

			w->kicked = false;
			if (read(w->kick, &kicks, sizeof(kicks)) > 0)
				egress_unstage(w);
		}
		busy = egress_poll(w);
		busy |= ingress_poll(w);
		rcu_quiescent_state();
		if (busy)
			last_work = w->now;
		if (busy) {
			wait_for_work(w, false);
		} else if (w->now - last_work < w->datapath->spin && !scheduling.realtime) {
			/* Other threads may need the processor. */
			sched_yield();
			wait_for_work(w, false);
		} else {
			wait_for_work(w, true);
			trickle.passes = 0;
		}

		const uint64_t now = clock_now();

		if (busy)
			w->count->busy_ns += now - w->now;
		w->now = now;
		if (is_trickle(&trickle, w, busy))
			nap(w);
		choose_scheduling(&scheduling, w);
	}
	egress_end(w);
	rcu_unregister_thread();
	return NULL;
}

/* The ring of this worker number. A later worker of the same number uses it again. */
static struct message_ring *ring_of(struct datapath *d, unsigned int id)
{
	if (id < d->n_rings)
		return d->rings[id];
	d->rings[id] = message_ring_new();
	if (d->rings[id])
		d->n_rings = id + 1;
	return d->rings[id];
}

/* Opens a socket for the worker's queue, or takes over that of the process before. */
static int open_xsk(struct worker *w)
{
	const struct datapath *d = w->datapath;
	const struct xsk_params params = {
		.ifindex = d->params.inner_ifindex,
		.queue = d->first_queue + w->id,
		.chains = d->params.superpackets,
	};

	return w->id < d->params.n_handed ? xsk_adopt(&d->params.handed[w->id].xsk, &w->xsk)
					  : xsk_open(&params, &w->xsk);
}

int worker_new(struct datapath *d, unsigned int id, struct worker **out)
{
	const struct datapath_params *params = &d->params;
	struct worker *w = aligned_alloc(64, (sizeof(*w) + 63) & ~(size_t)63);
	int err = -ENOMEM;

	if (!w)
		return -ENOMEM;
	memset(w, 0, sizeof(*w));
	w->datapath = d;
	w->id = id;
	w->count = &d->counters[id];
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->egress.buffer = aligned_alloc(4096, EGRESS_BUFFER);
	w->buffers = wire_buffers_new();
	w->messages = ring_of(d, id);
	w->join = join_new(params->superpackets);
	if (w->epoll < 0 || w->kick < 0 || !w->egress.buffer || !w->buffers || !w->messages ||
	    !w->join)
		goto fail;
	err = aead_new(params->aead, &w->aead);
	if (err)
		goto fail;
	err = inject_open(params->inner_ifindex, &d->tunnel, &w->inject);
	if (err)
		goto fail;
	err = open_xsk(w);
	if (err == -EAFNOSUPPORT)
		log_error("this kernel has no AF_XDP sockets",
			  "needs=\"a kernel with CONFIG_XDP_SOCKETS\"");
	if (err)
		goto fail;
	stage_init(&w->stage, w->xsk, d->remotes);
	err = programs_set_socket(params->programs, d->first_queue + id, xsk_fd(w->xsk));
	if (err)
		goto fail;
	err = watch(w, xsk_fd(w->xsk), SOURCE_TUNNEL);
	if (!err)
		err = watch(w, w->kick, SOURCE_KICK);
	if (err)
		goto fail;
	err = -pthread_create(&w->thread, NULL, run, w);
	if (err)
		goto fail;
	w->started = true;
	*out = w;
	return 0;
fail:
	worker_free(w);
	return err;
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

bool worker_packets_waiting(const struct worker *w)
{
	return readable(xsk_fd(w->xsk));
}

bool worker_messages_waiting(const struct worker *w)
{
	bool any = false;

	for (unsigned int part = 0; w->wire && part < WIRE_PARTS; part++)
		any |= readable(wire_fd(w->wire, (enum wire_part)part));
	return any;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	if (w->started) {
		const uint64_t one = 1;

		atomic_store(&w->stopping, true);
		if (write(w->kick, &one, sizeof(one)) < 0 && errno != EAGAIN)
			abort(); /* no other error is possible on an eventfd */
		hold_wake(&w->datapath->hold);
		pthread_join(w->thread, NULL);
	}
	if (w->xsk)
		programs_clear_socket(w->datapath->params.programs,
				      w->datapath->first_queue + w->id);
	xsk_close(w->xsk);
	inject_close(w->inject);
	aead_free(w->aead);
	join_free(w->join);
	wire_buffers_free(w->buffers);
	wire_close(w->wire);
	wire_close(w->old_wire);
	wire_xdp_close(w->queue);
	if (w->egress.buffer)
		explicit_bzero(w->egress.buffer, EGRESS_BUFFER);
	free(w->egress.buffer);
	if (w->kick >= 0)
		close(w->kick);
	if (w->epoll >= 0)
		close(w->epoll);
	free(w);
}

/* Registers a descriptor for a source, or changes the source of one that is registered. */
static void watch_as(struct worker *w, int fd, unsigned int source)
{
	struct epoll_event e = {.events = EPOLLIN, .data.u32 = source};

	if (fd >= 0 && epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &e) && errno == EEXIST)
		epoll_ctl(w->epoll, EPOLL_CTL_MOD, fd, &e);
}

void worker_set_wire(struct worker *w, struct wire *wire, struct wire *old_wire)
{
	if (old_wire) {
		wire_set_queue(old_wire, NULL);
		for (unsigned int part = 0; part < WIRE_PARTS; part++)
			watch_as(w, wire_fd(old_wire, (enum wire_part)part), SOURCE_OLD_WIRE);
	}
	if (wire) {
		wire_set_queue(wire, w->queue);
		for (unsigned int part = 0; part < WIRE_PARTS; part++)
			watch_as(w, wire_fd(wire, (enum wire_part)part), SOURCE_WIRE + part);
	}
	rcu_assign_pointer(w->old_wire, old_wire);
	rcu_assign_pointer(w->wire, wire);
}

void worker_set_queue(struct worker *w, struct wire_xdp *queue)
{
	rcu_assign_pointer(w->queue, queue);
	if (!w->wire)
		return;
	wire_set_queue(w->wire, queue);
	watch_as(w, wire_fd(w->wire, WIRE_QUEUE), SOURCE_WIRE + WIRE_QUEUE);
}

bool worker_signal(struct worker *w, enum datapath_event_type type, const struct remote *r,
		   uint32_t index)
{
	const struct datapath_event event = {
		.type = type,
		.slot = r->slot,
		.generation = r->generation,
		.index = index,
	};

	if (send(w->datapath->signals[1], &event, sizeof(event), MSG_DONTWAIT | MSG_NOSIGNAL) ==
	    sizeof(event)) {
		atomic_fetch_add_explicit(&w->datapath->signals_sent, 1, memory_order_release);
		return true;
	}
	w->count->drop_event_full++;
	return false;
}

void worker_want_session(struct worker *w, struct remote *r)
{
	if (atomic_exchange_explicit(&r->handshake_requested, true, memory_order_relaxed))
		return;
	if (!worker_signal(w, DATAPATH_WANT_SESSION, r, 0))
		atomic_store_explicit(&r->handshake_requested, false, memory_order_relaxed);
}

void worker_forward(struct worker *w, const struct wire_received *from, const uint8_t *message,
		    size_t len)
{
	if (message_ring_put(w->messages, &from->from, message, len))
		w->forwarded = true;
	else
		w->count->drop_event_full++;
}

void worker_notify_forwarded(struct worker *w)
{
	const uint64_t one = 1;

	if (!w->forwarded)
		return;
	w->forwarded = false;
	/* The handshake thread clears this flag before it reads the rings for the last time. */
	if (!atomic_exchange(&w->datapath->messages_notified, true) &&
	    write(w->datapath->messages_wait, &one, sizeof(one)) < 0)
		return; /* EAGAIN: a wakeup is pending already */
}
