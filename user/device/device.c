/* SPDX-License-Identifier: Apache-2.0 */
/* Makes and frees a device: its names, programs, data path and threads. */
#include "device/device.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock_file.h"
#include "base/log.h"
#include "crypto/aead.h"
#include "device/device_parts.h"
#include "device/peer.h"
#include "netlink/link.h"

#define STATE_DIRECTORY "/run/podveil"
#define DEFAULT_MTU	1420

uint64_t device_lock(struct device *d)
{
	pthread_mutex_lock(&d->lock);
	rcu_thread_online();
	return clock_now();
}

void device_unlock(struct device *d)
{
	rcu_thread_offline();
	pthread_mutex_unlock(&d->lock);
}

const char *device_name(const struct device *d)
{
	return d->name;
}

const char *device_served_name(const struct device *d)
{
	return d->served_name;
}

int device_ifindex(const struct device *d)
{
	return d->tunnel_ifindex;
}

unsigned int device_workers(const struct device *d)
{
	return d->workers;
}

/* --- names and lock file --- */

/* The lock file of a name. If it is locked, a running process serves the device; else a dead
 * process left the device. */
static void lock_path(const char *name, char *out, size_t room)
{
	snprintf(out, room, STATE_DIRECTORY "/%s.lock", name);
}

/* Releases the lock that we have, if any. */
static void unlock_name(struct device *d)
{
	char path[128];

	if (d->lock_file < 0)
		return;
	lock_path(d->served_name, path, sizeof(path));
	unlink(path);
	close(d->lock_file);
	d->lock_file = -1;
}

int device_take_name(struct device *d, const char *name)
{
	char path[128];
	int fd, err;

	lock_path(name, path, sizeof(path));
	err = lock_file_take(path, &fd);
	if (err)
		return err;
	unlock_name(d);
	d->lock_file = fd;
	snprintf(d->served_name, sizeof(d->served_name), "%s", name);
	return 0;
}

bool device_is_served(const char *name)
{
	char path[128];

	lock_path(name, path, sizeof(path));
	return lock_file_held(path);
}

/* --- its state and settings --- */

bool device_ended(const struct device *d)
{
	return d->ending;
}

int device_repair(struct device *d)
{
	struct link_info inner;
	int repaired = 0, err;

	if (!d->in_other_namespace && !programs_attached_tunnel(d->programs, d->tunnel_ifindex)) {
		err = programs_attach_tunnel(d->programs, d->tunnel_ifindex);
		if (err)
			return err;
		repaired++;
	}
	if (!programs_attached_inner(d->programs, d->inner_ifindex)) {
		err = programs_attach_inner(d->programs, d->inner_ifindex, true);
		if (err)
			return err;
		repaired++;
	}
	err = programs_repin(d->programs);
	if (err < 0)
		return err;
	repaired += err;
	err = link_get_index(d->inner_ifindex, &inner);
	if (!err && !inner.up) {
		err = link_set_up(d->inner_ifindex, true);
		repaired++;
	}
	/* If the UDP port was in use before, it may be free now. */
	if (!err && inner.carrier && !d->up)
		device_set_carrier(d, true);
	return err ? err : repaired;
}

void device_set_wire(struct device *d, enum wire_mode wire, int uplink)
{
	device_lock(d);
	if (d->wire != wire || (uplink && d->wire_ifindex != uplink)) {
		d->wire = wire;
		if (uplink)
			d->wire_ifindex = uplink;
		handshaker_wake(d->handshaker);
	}
	device_unlock(d);
}

void device_set_low_latency(struct device *d, bool on)
{
	if (on == d->latency.low)
		return;
	device_lock(d);
	latency_set(&d->latency, on);
	datapath_set_low_latency(d->datapath, on && d->latency.first);
	device_unlock(d);
	if (*d->latency.missing)
		log_warn("low latency is available in part only", "device=%s lacks=\"%s\"", d->name,
			 d->latency.missing);
	else
		log_info(on ? "low latency" : "low latency is off", "device=%s", d->name);
}

/* One core is left for the programs that send and receive the packets. On two cores one worker is
 * about as fast as two (6.0 and 6.1 Gbit/s) and answers faster (datapath.c: SPIN). */
static unsigned int how_many(unsigned int wanted)
{
	const long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (!wanted)
		wanted = (unsigned int)(cores > 2 ? cores - 1 : 1);
	return wanted < PV_MAX_WORKERS ? wanted : PV_MAX_WORKERS;
}

int device_set_workers(struct device *d, unsigned int workers)
{
	const unsigned int n = how_many(workers);
	unsigned int before;
	int err = 0;

	if (n > d->room)
		return -ENOSPC;
	device_lock(d);
	before = d->workers;
	if (n > before)
		err = datapath_workers_add(d->datapath, n);
	/* From here on packets are steered to the new workers' queues, and no longer to the queues
	 * of workers that are about to be removed. */
	if (!err) {
		d->workers = n;
		err = device_publish_settings(d);
	}
	if (!err && n < before)
		datapath_workers_remove(d->datapath, n);
	handshaker_wake(d->handshaker); /* the uplink's queues follow */
	device_unlock(d);
	if (!err && n != before)
		log_info("the number of workers changed", "device=%s workers=%u before=%u", d->name,
			 n, before);
	return err;
}

/* --- news of sessions --- */

void device_session_news(struct device *d)
{
	const uint64_t one = 1;

	/* EAGAIN: the eventfd's counter is full, so the owner is called anyway. */
	if (d->session_news >= 0 && write(d->session_news, &one, sizeof(one)) < 0)
		return;
}

static void on_session_news(evutil_socket_t fd, short what, void *context)
{
	struct device *d = context;
	uint64_t times;

	(void)what;
	if (read(fd, &times, sizeof(times)) > 0)
		d->params.sessions(d, d->params.context);
}

static int start_session_news(struct device *d)
{
	if (!d->params.sessions)
		return 0;
	d->session_news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->session_news < 0)
		return -errno;
	d->session_event = event_new(d->params.base, d->session_news, EV_READ | EV_PERSIST,
				     on_session_news, d);
	return d->session_event && !event_add(d->session_event, NULL) ? 0 : -ENOMEM;
}

/* --- making and freeing --- */

static int start_programs(struct device *d)
{
	const struct programs_params params = {
		.pin_name = d->name,
		.adopt = d->adopted,
		.superpackets = d->superpackets,
	};
	int err = programs_load(&params, &d->programs);

	if (!err)
		err = programs_attach_tunnel(d->programs, d->tunnel_ifindex);
	if (!err)
		err = programs_attach_inner(d->programs, d->inner_ifindex, true);
	return err;
}

struct datapath_params device_datapath_params(const struct device *d)
{
	return (struct datapath_params){
		.programs = d->programs,
		.inner_ifindex = d->inner_ifindex,
		.workers = d->workers,
		.other_queue = d->queues >= 2 * d->room ? d->room : 0,
		.superpackets = d->superpackets,
		.mtu = d->mtu,
		.mac = {d->mac[0], d->mac[1], d->mac[2], d->mac[3], d->mac[4], d->mac[5]},
		.aead = d->params.aead,
		.allowed_ips = d->allowed_ips,
	};
}

static int start_datapath(struct device *d)
{
	struct datapath_params params = device_datapath_params(d);
	int err;

	/* After adopting a device there are no peers yet. Until they are configured, packets are
	 * dropped without an ICMP error: an error would end connections. */
	params.answer = !d->adopted;
	err = datapath_new(&params, &d->datapath);

	/* From here on classify steers packets to the queues. */
	return err ? err : device_publish_settings(d);
}

static void choose(struct device *d)
{
	struct programs_features features;

	programs_features(&features);
	d->superpackets = features.superpackets && !d->params.per_packet;
	d->mtu = d->params.mtu ? d->params.mtu : DEFAULT_MTU;
	d->workers = how_many(d->params.workers);
	d->room = d->params.queues > d->workers ? d->params.queues : d->workers;
	d->queues = d->params.second_half ? 2 * d->room : d->room;
	d->wire = d->params.wire;
	device_check_mtu(d);
}

int device_make_tables(struct device *d)
{
	d->by_key = cds_lfht_new_flavor(64, 64, 0, CDS_LFHT_AUTO_RESIZE, &urcu_qsbr_flavor, NULL);
	d->by_index = cds_lfht_new_flavor(64, 64, 0, CDS_LFHT_AUTO_RESIZE, &urcu_qsbr_flavor, NULL);
	d->allowed_ips = allowed_ips_new();
	return d->by_key && d->by_index && d->allowed_ips ? 0 : -ENOMEM;
}

static int take_own_name(struct device *d)
{
	return device_take_name(d, d->name);
}

int device_start_threads(struct device *d, bool held)
{
	const int err = start_session_news(d);

	return err ? err : handshaker_new(d, held, &d->handshaker);
}

static int start_handshakes(struct device *d)
{
	const int err = device_start_threads(d, false);

	if (!err)
		device_set_low_latency(d, d->params.low_latency);
	return err;
}

static int start_inner_end(struct device *d)
{
	const int err = link_set_up(d->inner_ifindex, true);

	return err ? err : device_watch_link(d);
}

static const struct step {
	const char *name;
	int (*take)(struct device *d);
} steps[] = {
	{"memory", device_make_tables},	     {"lock", take_own_name},
	{"tunnel device", device_make_pair}, {"programs", start_programs},
	{"data path", start_datapath},	     {"handshake thread", start_handshakes},
	{"inner end", start_inner_end},
};

static void report_failure(const struct device *d, const struct step *s, int err)
{
	const bool served = s->take == take_own_name && err == -EWOULDBLOCK;

	log_error("cannot create the device", "device=%s step=\"%s%s\" errno=%d error=\"%s\"",
		  d->name, s->name, served ? " (another podveil serves this device)" : "", -err,
		  strerror(-err));
}

struct device *device_allocate(const struct device_params *params)
{
	struct device *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->params = *params;
	d->lock_file = -1;
	d->session_news = -1;
	pthread_mutex_init(&d->lock, NULL);
	TAILQ_INIT(&d->peers);
	TAILQ_INIT(&d->attention);
	TAILQ_INIT(&d->removals);
	randombytes_buf(d->hash_key, sizeof(d->hash_key));
	return d;
}

int device_new(const struct device_params *params, struct device **out)
{
	struct device *d = device_allocate(params);

	if (!d)
		return -ENOMEM;
	snprintf(d->name, sizeof(d->name), "%s", params->name);
	device_name_inner_end(d);
	if (!params->aead)
		aead_measure_ahead();
	choose(d);
	for (const struct step *s = steps; s < steps + sizeof(steps) / sizeof(*steps); s++) {
		const int err = s->take(d);

		if (!err)
			continue;
		report_failure(d, s, err);
		device_free(d, !d->adopted);
		return err;
	}
	*out = d;
	return 0;
}

void device_free(struct device *d, bool remove)
{
	if (!d)
		return;
	device_unwatch_link(d);
	if (d->session_event)
		event_free(d->session_event);
	if (d->datapath) {
		device_lock(d);
		d->up = false;
		datapath_unlisten(d->datapath);
		device_unlock(d);
		while (!TAILQ_EMPTY(&d->peers))
			peer_withdraw(TAILQ_FIRST(&d->peers));
	}
	handshaker_free(d->handshaker);
	datapath_free(d->datapath);
	latency_set(&d->latency, false);
	/* The programs end with the devices. Without `remove` both stay, and packets are
	 * dropped. */
	if (remove && d->inner_ifindex)
		link_delete(d->inner_ifindex);
	programs_free(d->programs, remove);
	allowed_ips_free(d->allowed_ips);
	if (d->by_key)
		cds_lfht_destroy(d->by_key, NULL);
	if (d->by_index)
		cds_lfht_destroy(d->by_index, NULL);
	free(d->slots);
	free(d->generations);
	unlock_name(d);
	if (d->session_news >= 0)
		close(d->session_news);
	rcu_barrier();
	pthread_mutex_destroy(&d->lock);
	sodium_memzero(d, sizeof(*d));
	free(d);
}
