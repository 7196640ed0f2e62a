/* SPDX-License-Identifier: Apache-2.0 */
#include "service/hosted.h"

#include <errno.h>
#include <event2/event.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/wg/wg_socket.h"
#include "netlink/link.h"
#include "netlink/wireguard.h"
#include "podveil/counters.h"
#include "service/keys.h"

/* --- news of the device --- */

static void on_sessions(struct device *d, void *context)
{
	struct hosted *h = context;

	(void)d;
	h->news(h, HOSTED_SESSIONS, h->context);
}

static void on_renamed(struct device *d, void *context)
{
	struct hosted *h = context;

	if (h->socket && wg_socket_rename(h->socket))
		log_warn("the wg socket could not be renamed with the device", "device=%s",
			 device_name(d));
	h->news(h, HOSTED_RENAMED, h->context);
}

/* The device itself calls this, so it cannot be freed here. */
static void on_ended(struct device *d, void *context)
{
	const struct timeval at_once = {0, 0};
	struct hosted *h = context;

	log_info("tunnel device was deleted", "device=%s", device_name(d));
	event_add(h->ended, &at_once);
}

static void free_ended(evutil_socket_t fd, short what, void *context)
{
	struct hosted *h = context;

	(void)fd;
	(void)what;
	if (!h->device || !device_ended(h->device))
		return;
	hosted_drop(h);
	h->news(h, HOSTED_ENDED, h->context);
}

/* --- the key --- */

int hosted_load_key(struct hosted *h)
{
	int err;

	if (h->has_key)
		return 0;
	err = keys_load(h->id, h->private_key);
	if (!err && crypto_scalarmult_base(h->public_key, h->private_key))
		err = -EINVAL;
	h->has_key = !err;
	return err;
}

int hosted_take_key(struct hosted *h, const char *from)
{
	struct link_info link;
	uint8_t key[32];
	int err = link_get(from, &link);

	if (!err)
		err = strcmp(link.kind, "wireguard") ? -ENODEV
						     : wireguard_private_key(link.ifindex, key);
	if (err)
		return err;
	memcpy(h->private_key, key, sizeof(key));
	sodium_memzero(key, sizeof(key));
	h->has_key = !crypto_scalarmult_base(h->public_key, h->private_key);
	/* We can work without the file, but the next process would have to make a new key. */
	if (keys_restore(h->id, h->private_key) < 0)
		log_warn("the key that was taken over cannot be saved", "key=%s", h->id);
	return h->has_key ? 0 : -EINVAL;
}

int hosted_forget_key(struct hosted *h)
{
	if (h->device)
		return -EBUSY;
	keys_remove(h->id);
	sodium_memzero(h->private_key, sizeof(h->private_key));
	h->has_key = false;
	return 0;
}

/* Only the next process needs the file, so a failure is logged once and stops nothing else. */
static int repair_key(struct hosted *h)
{
	const int done = h->has_key ? keys_restore(h->id, h->private_key) : 0;
	const int err = done < 0 ? done : 0;

	if (err && err != h->key_error)
		log_error(
			"the private key cannot be saved: the next process would create another one",
			"file=/run/podveil/%s.key errno=%d error=\"%s\"", h->id, -err,
			strerror(-err));
	h->key_error = err;
	return err ? 0 : done;
}

/* --- the device --- */

static int use_key(struct hosted *h)
{
	struct device_config c = {.set = DEVICE_SET_PRIVATE_KEY};
	int err;

	memcpy(c.private_key, h->private_key, sizeof(c.private_key));
	err = device_configure(h->device, &c);
	device_config_fini(&c);
	return err;
}

static void stop_device(struct hosted *h, bool remove)
{
	wg_socket_free(h->socket);
	h->socket = NULL;
	device_free(h->device, remove);
	h->device = NULL;
}

int hosted_make(struct hosted *h, const struct service_request *r, bool *made)
{
	const struct device_params p = {
		.base = h->base,
		.name = r->name,
		.inner_name = r->inner_name,
		.workers = r->workers,
		.queues = PV_MAX_WORKERS,
		.second_half = true,
		.mtu = r->mtu,
		.wire = WIRE_SOCKET, /* until the owner says otherwise */
		.adopt = true,
		.ended = on_ended,
		.renamed = on_renamed,
		.sessions = on_sessions,
		.context = h,
	};
	struct link_info before;
	bool adopted;
	int err;

	if (h->device && device_ended(h->device))
		hosted_drop(h);
	*made = !h->device;
	err = hosted_load_key(h);
	if (h->device || err)
		return err;
	adopted = !link_get(r->name, &before);
	err = device_new(&p, &h->device);
	if (err)
		return err;
	err = wg_socket_new(h->base, h->device, &h->socket);
	if (!err)
		err = use_key(h);
	if (err)
		stop_device(h, !adopted);
	return err;
}

void hosted_params(struct hosted *h, struct device_params *out)
{
	out->base = h->base;
	out->ended = on_ended;
	out->renamed = on_renamed;
	out->sessions = on_sessions;
	out->context = h;
}

int hosted_take_device(struct hosted *h, struct device *d, int wg_fd)
{
	h->device = d;
	return wg_fd >= 0 ? wg_socket_adopt(h->base, d, wg_fd, &h->socket)
			  : wg_socket_new(h->base, d, &h->socket);
}

void hosted_drop(struct hosted *h)
{
	event_del(h->ended);
	stop_device(h, true);
}

bool hosted_runs(const struct hosted *h)
{
	return h->device && !device_ended(h->device);
}

int hosted_set(struct hosted *h, struct service_request *r)
{
	unsigned int before;
	int err = 0;

	if (!hosted_runs(h))
		return -ENODEV;
	before = device_workers(h->device);
	if (r->has & LINE_WORKERS)
		err = device_set_workers(h->device, r->workers);
	if (err)
		return err;
	if (r->own_key) {
		memcpy(r->config.private_key, h->private_key, sizeof(h->private_key));
		r->config.set |= DEVICE_SET_PRIVATE_KEY;
	}
	if (r->config.set || r->config.n_peers)
		err = device_configure(h->device, &r->config);
	if (err) {
		device_set_workers(h->device, before);
		return err;
	}
	if (r->has & LINE_WIRE)
		device_set_wire(h->device, r->wire, r->uplink);
	if (r->has & LINE_LOW_LATENCY)
		device_set_low_latency(h->device, r->low_latency);
	return 0;
}

int hosted_repair(struct hosted *h)
{
	const int key = repair_key(h);
	const int device = hosted_runs(h) ? device_repair(h->device) : 0;

	return device < 0 ? device : key + device;
}

/* --- making and freeing --- */

struct hosted *hosted_new(struct event_base *base, const char *id)
{
	struct hosted *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->base = base;
	snprintf(h->id, sizeof(h->id), "%s", id);
	h->ended = evtimer_new(base, free_ended, h);
	if (!h->ended) {
		free(h);
		return NULL;
	}
	return h;
}

void hosted_free(struct hosted *h)
{
	stop_device(h, false);
	event_free(h->ended);
	sodium_memzero(h, sizeof(*h));
	free(h);
}
