/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/datapath.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "datapath/worker.h"
#include "wire/wire_open.h"
#include "wire/wire_xdp.h"

/* The send buffer for signals. If it is full, workers ask for a session again at the next
 * packet. */
#define EVENT_QUEUE_BYTES (4096 * 1024)

/* To wake a sleeping worker takes 20 to 50 us on virtual processors. A worker that polls before it
 * sleeps saves some of these wake-ups, but it takes processor time from the programs that send and
 * receive. One worker on two cores, means of two runs with a spin of 0, 25, 60, 100 and 200 us:
 * HTTP over 100 connections 72, 70, 65, 63, 54 kreq/s; TCP, one stream, 7.2, 7.4, 7.0, 6.9, 6.6
 * Gbit/s; processors at a paced Gbit/s 0.33, 0.35, 0.43, 0.48, 0.68; ping every 10 ms, mean, 0.13,
 * 0.12, 0.16, 0.16, 0.11 ms. With as many workers as cores it gained nothing, so it is off there.
 */
#define SPIN (25 * NSEC_PER_MSEC / 1000)

static int event_pair(int pair[2])
{
	int size = EVENT_QUEUE_BYTES;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) {
		pair[0] = pair[1] = -1;
		return -errno;
	}
	/* Without CAP_NET_ADMIN the queue is as long as net.core.wmem_max allows. */
	if (setsockopt(pair[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}

static int open_events(struct datapath *d)
{
	struct epoll_event e = {.events = EPOLLIN};
	int err = event_pair(d->signals);

	if (err)
		return err;
	d->messages_wait = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->events = epoll_create1(EPOLL_CLOEXEC);
	if (d->messages_wait < 0 || d->events < 0 ||
	    epoll_ctl(d->events, EPOLL_CTL_ADD, d->signals[0], &e) ||
	    epoll_ctl(d->events, EPOLL_CTL_ADD, d->messages_wait, &e))
		return -errno;
	return 0;
}

static void set_spin(struct datapath *d, unsigned int workers)
{
	d->spin = workers < (unsigned long)sysconf(_SC_NPROCESSORS_ONLN) ? SPIN : 0;
}

/* After a socket is closed, the kernel frees its queue a little later: usually within 50 ms, later
 * on an overloaded machine. This happens after a worker was removed or a process was killed. To
 * wait is quicker than to fail and start again. */
#define QUEUE_FREE_PATIENCE (5 * NSEC_PER_SEC)
#define QUEUE_FREE_STEP	    (2 * NSEC_PER_MSEC)

/* If the first worker's queue is busy, it tries the other half of the queues, too. The other
 * workers use the same half as the first. */
static int start_worker(struct datapath *d, unsigned int i, struct worker **out)
{
	const uint64_t begin = clock_now();
	int err = worker_new(d, i, out);

	while (err == -EBUSY && clock_now() - begin < QUEUE_FREE_PATIENCE) {
		if (!i && d->params.other_queue)
			d->first_queue = d->params.other_queue - d->first_queue;
		if (i || d->first_queue == 0)
			datapath_sleep(QUEUE_FREE_STEP);
		err = worker_new(d, i, out);
	}
	return err;
}

int datapath_new(const struct datapath_params *params, struct datapath **out)
{
	struct datapath *d = calloc(1, sizeof(*d));
	int err = -ENOMEM;

	if (!d)
		return -ENOMEM;
	d->params = *params;
	d->hold = (struct hold)HOLD_NONE;
	if (params->n_handed) {
		d->first_queue = params->first_queue;
		hold_begin(&d->hold);
	}
	d->signals[0] = d->signals[1] = d->messages_wait = d->events = -1;
	d->counters = programs_counters(params->programs);
	set_spin(d, params->workers);
	atomic_store(&d->tunnel.mtu, params->mtu);
	datapath_set_mac(d, params->mac);
	atomic_store(&d->answer, params->answer);
	d->remotes = calloc(PV_MAX_PEERS, sizeof(*d->remotes));
	d->keypairs = cds_lfht_new_flavor(64, 64, 0, CDS_LFHT_AUTO_RESIZE, &urcu_qsbr_flavor, NULL);
	if (!d->remotes || !d->keypairs)
		goto fail;
	err = open_events(d);
	if (err)
		goto fail;
	for (unsigned int i = 0; i < params->workers; i++) {
		err = start_worker(d, i, &d->workers[i]);
		if (err)
			goto fail;
		d->n_workers++;
	}
	err = workers_adopt_wires(d);
	if (err)
		goto fail;
	/* Workers that are added later open sockets of their own. */
	d->params.n_handed = 0;
	d->params.handed = NULL;
	*out = d;
	return 0;
fail:
	datapath_free(d);
	return err;
}

unsigned int datapath_first_queue(const struct datapath *d)
{
	return d->first_queue;
}

void datapath_free(struct datapath *d)
{
	if (!d)
		return;
	for (unsigned int i = 0; i < d->n_workers; i++)
		worker_free(d->workers[i]);
	for (unsigned int i = 0; i < d->n_rings; i++)
		free(d->rings[i]);
	if (d->keypairs)
		cds_lfht_destroy(d->keypairs, NULL);
	free(d->remotes);
	for (unsigned int i = 0; i < 4; i++) {
		const int fds[] = {d->events, d->messages_wait, d->signals[0], d->signals[1]};

		if (fds[i] >= 0)
			close(fds[i]);
	}
	free(d);
}

int datapath_event_fd(const struct datapath *d)
{
	return d->events;
}

static bool take_message(struct datapath *d, struct datapath_event *out)
{
	const unsigned int n = d->n_rings;

	/* Take from the workers' rings in turn. */
	for (unsigned int i = 0; i < n; i++) {
		if (message_ring_take(d->rings[d->next_ring++ % n], &out->message)) {
			out->type = DATAPATH_HANDSHAKE_MESSAGE;
			return true;
		}
	}
	return false;
}

int datapath_event_read(struct datapath *d, struct datapath_event *out)
{
	uint64_t wakes;

	/* A worker counts a signal after it sent it. If none is counted, no system call is
	 * needed. */
	if (atomic_load_explicit(&d->signals_sent, memory_order_acquire) != d->signals_read &&
	    recv(d->signals[0], out, sizeof(*out), MSG_DONTWAIT) == sizeof(*out)) {
		d->signals_read++;
		return 0;
	}
	if (take_message(d, out))
		return 0;
	/* The rings are empty. Clear the flag, so that the next worker writes the eventfd again.
	 * Then look once more: a message may have come before the flag was cleared. */
	if (read(d->messages_wait, &wakes, sizeof(wakes)) < 0 && errno != EAGAIN)
		return -errno;
	atomic_exchange(&d->messages_notified, false);
	return take_message(d, out) ? 0 : -EAGAIN;
}

unsigned int datapath_messages_waiting(struct datapath *d)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < d->n_rings; i++)
		n += message_ring_waiting(d->rings[i]);
	return n;
}

/* --- add and remove workers --- */

/* A worker that is removed gets at most DRAIN_STEPS to handle what is on its way to it. Nothing may
 * wait for it for QUIET_STEPS, because what the kernel still has is not seen. */
#define DRAIN_STEPS 1000
#define QUIET_STEPS 5
#define DRAIN_STEP  NSEC_PER_MSEC

static int add_worker(struct datapath *d)
{
	const unsigned int i = d->n_workers;
	struct worker *w;
	struct wire *wire = NULL;
	int err = start_worker(d, i, &w);

	if (err)
		return err;
	if (d->workers[0]->wire) {
		err = wire_open_another(d->workers[0]->wire, &wire);
		if (err) {
			worker_free(w);
			return err;
		}
	}
	worker_set_wire(w, wire, NULL);
	d->workers[i] = w;
	d->n_workers = i + 1;
	return 0;
}

/* Waits until nothing waits for the worker any more. */
static void drain(const struct worker *w, bool (*waiting)(const struct worker *w))
{
	unsigned int quiet = 0;

	for (unsigned int i = 0; i < DRAIN_STEPS && quiet < QUIET_STEPS; i++) {
		datapath_sleep(DRAIN_STEP);
		quiet = waiting(w) ? 0 : quiet + 1;
	}
}

static void remove_worker(struct datapath *d)
{
	struct worker *w = d->workers[d->n_workers - 1];

	drain(w, worker_packets_waiting);
	programs_set_divert_socket(d->params.programs, w->id, -1);
	if (w->wire)
		wire_leave_group(w->wire);
	drain(w, worker_messages_waiting);
	d->n_workers = d->n_workers - 1;
	/* After this no thread kicks this worker, and it has handled what it had read. */
	synchronize_rcu();
	rcu_thread_offline();
	worker_free(w);
	rcu_thread_online();
	d->workers[d->n_workers] = NULL;
}

int datapath_workers_add(struct datapath *d, unsigned int n)
{
	const unsigned int before = d->n_workers;
	int err = 0;

	while (d->n_workers < n && !err)
		err = add_worker(d);
	if (err)
		datapath_workers_remove(d, before);
	set_spin(d, d->n_workers);
	return err;
}

void datapath_workers_remove(struct datapath *d, unsigned int n)
{
	while (d->n_workers > n)
		remove_worker(d);
	set_spin(d, d->n_workers);
}

void datapath_set_mtu(struct datapath *d, uint32_t mtu)
{
	atomic_store_explicit(&d->tunnel.mtu, mtu, memory_order_relaxed);
}

void datapath_set_mac(struct datapath *d, const uint8_t mac[6])
{
	uint64_t bytes = 0;

	memcpy(&bytes, mac, 6);
	atomic_store_explicit(&d->tunnel.mac, bytes, memory_order_relaxed);
}

void datapath_set_low_latency(struct datapath *d, bool on)
{
	atomic_store_explicit(&d->low_latency, on, memory_order_relaxed);
	datapath_kick(d);
}

void datapath_enable_icmp_answers(struct datapath *d)
{
	atomic_store_explicit(&d->answer, true, memory_order_relaxed);
}

bool datapath_answers(const struct datapath *d)
{
	return atomic_load_explicit(&d->answer, memory_order_relaxed);
}

void datapath_remote_add(struct datapath *d, struct remote *r)
{
	rcu_assign_pointer(d->remotes[r->slot], r);
}

void datapath_remote_remove(struct datapath *d, struct remote *r)
{
	if (d->remotes[r->slot] == r)
		rcu_assign_pointer(d->remotes[r->slot], NULL);
}

/* Indices are random, so an index is its own hash. */
static int match(struct cds_lfht_node *node, const void *index)
{
	return caa_container_of(node, struct keypair, node)->local_index ==
	       *(const uint32_t *)index;
}

int datapath_keypair_add(struct datapath *d, struct keypair *k)
{
	struct cds_lfht_node *there =
		cds_lfht_add_unique(d->keypairs, k->local_index, match, &k->local_index, &k->node);

	return there == &k->node ? 0 : -EEXIST;
}

void datapath_keypair_remove(struct datapath *d, struct keypair *k)
{
	cds_lfht_del(d->keypairs, &k->node);
}

struct keypair *datapath_keypair_find(struct datapath *d, uint32_t index)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	cds_lfht_lookup(d->keypairs, index, match, &index, &iter);
	node = cds_lfht_iter_get_node(&iter);
	return node ? caa_container_of(node, struct keypair, node) : NULL;
}

bool datapath_index_used(struct datapath *d, uint32_t index)
{
	return datapath_keypair_find(d, index) != NULL;
}

void datapath_kick(struct datapath *d)
{
	const uint64_t one = 1;

	/* EAGAIN: the eventfd's counter is full, so the worker wakes anyway. */
	for (unsigned int i = 0; i < d->n_workers; i++) {
		if (write(d->workers[i]->kick, &one, sizeof(one)) < 0)
			continue;
	}
}

int datapath_send(struct datapath *d, const struct endpoint *to, const void *message, size_t len,
		  uint8_t ecn_dscp)
{
	struct wire *wire = rcu_dereference(d->workers[0]->wire);
	struct endpoint e;
	int err;

	if (!endpoint_present(to))
		return -EDESTADDRREQ;
	if (!wire)
		return -ENETDOWN;
	err = wire_send_one(wire, to, message, len, ecn_dscp);
	if (err == -EINVAL || err == -EADDRNOTAVAIL || err == -ENETUNREACH) {
		e = *to;
		memset(&e.from, 0, sizeof(e.from));
		err = wire_send_one(wire, &e, message, len, ecn_dscp);
	}
	return err;
}

unsigned int datapath_send_run(struct datapath *d, const struct endpoint *to, const void *messages,
			       unsigned int n, uint16_t size, uint8_t ecn_dscp)
{
	struct wire *wire = rcu_dereference(d->workers[0]->wire);
	unsigned int sent = 0;

	if (wire && n > 1 && !wire_send_equal(wire, to, messages, n, size, ecn_dscp))
		return n;
	for (unsigned int i = 0; i < n; i++)
		sent += !datapath_send(d, to, (const uint8_t *)messages + (size_t)i * size, size,
				       ecn_dscp);
	return sent;
}

int datapath_keepalive(struct datapath *d, struct remote *r)
{
	uint8_t message[MESSAGE_DATA_OVERHEAD];
	struct message_data header = {.type = htole32(MESSAGE_DATA)};
	struct aead_op op = {.src = message + sizeof(header), .dst = message + sizeof(header)};
	struct keypair *k = remote_sending_keypair(r);
	struct endpoint to;
	struct aead *aead;
	int err;

	if (!keypair_can_send(k, clock_now()))
		return -ENOKEY;
	if (!destination_get(&r->destination, &to))
		return -EDESTADDRREQ;
	if (!keypair_reserve(k, 1, &op.counter))
		return -ENOKEY;
	err = aead_new("libsodium", &aead);
	if (err)
		return err;
	header.receiver = htole32(k->remote_index);
	header.counter = htole64(op.counter);
	memcpy(message, &header, sizeof(header));
	op.key = k->sending_key;
	aead_seal(aead, &op, 1);
	aead_free(aead);
	err = datapath_send(d, &to, message, sizeof(message), 0);
	if (!err)
		remote_count_sent(r, PV_MAX_WORKERS, 1, sizeof(message));
	return err;
}

void datapath_sleep(uint64_t ns)
{
	const struct timespec t = {(time_t)(ns / NSEC_PER_SEC), (long)(ns % NSEC_PER_SEC)};
	const bool online = urcu_qsbr_read_ongoing();

	if (online)
		rcu_thread_offline();
	nanosleep(&t, NULL);
	if (online)
		rcu_thread_online();
}

const char *datapath_aead(const struct datapath *d)
{
	return d->n_workers ? aead_backend(d->workers[0]->aead) : "none";
}
