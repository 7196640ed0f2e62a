/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/tunnel.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "netlink/route.h"
#include "podveil/counters.h"
#include "protocol/limits.h"
#include "service/client.h"
#include "tunnel/deletions.h"
#include "tunnel/drops.h"
#include "tunnel/lingering.h"
#include "tunnel/pair.h"
#include "tunnel/steering.h"
#include "tunnel/takeover.h"

struct tunnel {
	struct tunnel_params params;
	enum tunnel_state state;
	struct client_device *device;
	bool restore;		   /* somebody else configured the device */
	struct steering *steering; /* peers and routes */
	struct lingering lingering;
	bool beside;	   /* our device has a spare name: Felix's has its own still */
	char problem[400]; /* text: a device of others has our device's name */
	struct deletions deletions;
	struct drops drops;
	bool has_key; /* the tunnel process was asked for it */
	uint8_t public_key[32];
	struct settings settings; /* of the last tunnel_prepare(), _enable() or _update() */
	uint32_t mtu;
};

static const char *name_of(const struct tunnel *t, const struct settings *s)
{
	return t->params.family == AF_INET ? s->interface4 : s->interface6;
}

/* The name that our device should have now. */
static const char *present_name(const struct tunnel *t)
{
	return t->beside ? takeover_spare_name(t->params.family) : name_of(t, &t->settings);
}

static const char *key_name(int family)
{
	return family == AF_INET ? "wireguard" : "wireguard-v6";
}

/* --- device --- */

static int configure_interface(struct tunnel *t)
{
	struct device_config c = {
		.set = DEVICE_SET_LISTEN_PORT | DEVICE_SET_FWMARK,
		.listen_port = t->params.family == AF_INET ? t->settings.port4 : t->settings.port6,
		.fwmark = RULE_MARK,
	};

	return client_device_configure(t->device, &c, true);
}

static void on_sessions(struct client_device *d, void *context)
{
	struct tunnel *t = context;

	(void)d;
	if (t->state == TUNNEL_ON)
		steering_on_new_sessions(t->steering);
}

static void stop_device(struct tunnel *t, bool remove)
{
	client_device_free(t->device, remove);
	t->device = NULL;
	steering_stop(t->steering);
}

static void on_gone(struct client_device *d, void *context)
{
	struct tunnel *t = context;

	(void)d;
	deletions_note(&t->deletions, name_of(t, &t->settings));
	t->params.changed(t, t->params.context);
}

static void on_renamed(struct client_device *d, void *context)
{
	struct tunnel *t = context;

	(void)d;
	t->params.changed(t, t->params.context);
}

static int start_device(struct tunnel *t)
{
	const struct settings *s = &t->settings;
	const struct client_device_params p = {
		.id = key_name(t->params.family),
		.name = present_name(t),
		.inner_name = pair_inner_name(t->params.family),
		.workers = s->workers,
		.mtu = t->mtu,
		.ended = on_gone,
		.renamed = on_renamed,
		.sessions = on_sessions,
		.context = t,
	};
	int err;

	pair_rename(t->params.family, p.name);
	err = client_device_make(t->params.client, &p, &t->device);
	if (err)
		return err;
	/* The device of an earlier agent, or the pair of a dead process, may be made for other
	 * workers. */
	err = client_device_set_workers(t->device, s->workers);
	if (err == -ENOSPC) {
		log_info("the tunnel device is created again", "interface=%s workers=%u",
			 client_device_name(t->device), s->workers);
		client_device_free(t->device, true);
		t->device = NULL;
		err = client_device_make(t->params.client, &p, &t->device);
	}
	t->has_key = false; /* a tunnel process that was started anew may have had to make one */
	if (!err)
		err = steering_start(t->steering, t->device);
	if (err)
		stop_device(t, false); /* it drops packets, until the next attempt */
	return err;
}

static int set_link(struct tunnel *t)
{
	return pair_set_tunnel(client_device_ifindex(t->device), present_name(t), t->mtu);
}

/* --- the life of a tunnel --- */

struct tunnel *tunnel_new(const struct tunnel_params *params)
{
	struct tunnel *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->params = *params;
	t->steering = steering_new(params->family, &t->settings);
	if (!t->steering) {
		free(t);
		return NULL;
	}
	return t;
}

void tunnel_free(struct tunnel *t, bool remove)
{
	if (!t)
		return;
	lingering_fini(&t->lingering);
	/* While lingering, the routes are gone already, so the device can go, too. */
	if (t->state == TUNNEL_LINGERING)
		remove = true;
	if (remove)
		steering_clear(t->steering);
	stop_device(t, remove);
	steering_free(t->steering);
	sodium_memzero(t, sizeof(*t));
	free(t);
}

int tunnel_key(struct tunnel *t, uint8_t public_key[32])
{
	int err = 0;

	if (!t->has_key) {
		err = client_key(t->params.client, key_name(t->params.family), t->public_key);
		t->has_key = !err;
	}
	memcpy(public_key, t->public_key, 32);
	return err;
}

/* 0: we can use the name, or a spare one first. -EEXIST: a device of others has it; logged once. */
static int claim_name(struct tunnel *t, const uint8_t *felix)
{
	char why[sizeof(t->problem)] = "";
	const enum takeover result = takeover_judge(t->params.family, name_of(t, &t->settings),
						    t->public_key, felix, why, sizeof(why));
	const bool news = strcmp(why, t->problem) != 0;

	memcpy(t->problem, why, sizeof(why));
	if (result == TAKEOVER_REFUSED && news)
		log_error("the tunnel device cannot be created", "problem=\"%s\"", why);
	t->beside = result == TAKEOVER_LEFT;
	return result == TAKEOVER_REFUSED ? -EEXIST : 0;
}

static int begin_takeover(struct tunnel *t)
{
	const char *name = name_of(t, &t->settings);
	int err = takeover_begin(t->params.family, name, t->params.client,
				 key_name(t->params.family), t->public_key);

	/* It reads the routes that drop: where they are, traffic goes on through our device. */
	if (!err)
		err = steering_start(t->steering, t->device);
	if (err)
		snprintf(t->problem, sizeof(t->problem),
			 "%s, abandoned by Felix, cannot be taken over: %s", name, strerror(-err));
	return err;
}

/* Our device works. */
static int end_takeover(struct tunnel *t)
{
	const char *name = name_of(t, &t->settings);
	int err = takeover_end(name);

	if (err)
		return err;
	t->beside = false;
	*t->problem = 0;
	err = set_link(t);
	if (err < 0)
		return err;
	/* Before Linux 6.2, a device loses its routes when it is renamed. */
	err = steering_repair_network(t->steering);
	log_info("took over the WireGuard device that Felix left", "interface=%s", name);
	return err < 0 ? err : 0;
}

int tunnel_prepare(struct tunnel *t, const struct settings *s, uint32_t mtu, const uint8_t *felix)
{
	uint8_t unused[32];
	int err = tunnel_key(t, unused);

	if (err || t->device)
		return err;
	t->settings = *s;
	t->mtu = mtu;
	err = claim_name(t, felix);
	if (!err)
		err = start_device(t);
	if (err == -ENODEV)
		deletions_note(&t->deletions, name_of(t, s)); /* while it was being made */
	return err;
}

int tunnel_enable(struct tunnel *t, const struct settings *s, uint32_t mtu, int uplink,
		  const uint8_t *felix)
{
	const bool workers_changed = t->device && s->workers != t->settings.workers;
	int err;

	lingering_end(&t->lingering);
	if (t->state == TUNNEL_LINGERING)
		steering_require_new_sessions(t->steering);
	t->settings = *s;
	t->mtu = mtu;
	/* The pair of an earlier agent may have too few queues. */
	if (workers_changed && client_device_set_workers(t->device, s->workers) == -ENOSPC) {
		log_info("the tunnel device is created again", "interface=%s workers=%u",
			 client_device_name(t->device), s->workers);
		stop_device(t, true);
	}
	if (t->device && client_device_ended(t->device))
		stop_device(t, true);
	err = tunnel_prepare(t, s, mtu, felix);
	if (!err && t->beside)
		err = begin_takeover(t);
	if (!err)
		err = client_device_set_wire(t->device, s->wire, uplink);
	if (!err)
		err = client_device_set_low_latency(t->device, s->low_latency);
	if (!err)
		err = configure_interface(t);
	if (!err)
		err = set_link(t);
	if (err < 0)
		return err;
	t->state = TUNNEL_ON;
	return 0;
}

int tunnel_update(struct tunnel *t, const struct plan *p, const struct settings *s)
{
	int err;

	if (t->state != TUNNEL_ON)
		return -ENODEV;
	t->settings = *s;
	err = steering_update(t->steering, p);
	return !err && t->beside ? end_takeover(t) : err;
}

static uint64_t packets_read(const struct tunnel *t)
{
	struct pv_counters c;

	if (!t->device)
		return 0;
	client_device_counters(t->device, &c);
	return c.ingress_packets;
}

static void end_linger(struct tunnel *t)
{
	lingering_end(&t->lingering);
	stop_device(t, true);
	pair_remove(t->params.family); /* a tunnel process that died has left it */
	steering_forget(t->steering);
	t->state = TUNNEL_OFF;
	log_info("removed the tunnel device", "interface=%s", name_of(t, &t->settings));
	t->params.changed(t, t->params.context);
}

/* Runs every second while the tunnel lingers. */
static void on_linger(evutil_socket_t fd, short what, void *context)
{
	struct tunnel *t = context;

	(void)fd;
	(void)what;
	if (lingering_second(&t->lingering, packets_read(t)) || !t->device ||
	    client_device_ended(t->device))
		end_linger(t);
}

void tunnel_disable(struct tunnel *t, bool others_have_keys)
{
	t->lingering.others_have_keys = others_have_keys;
	*t->problem = 0;
	if (t->state == TUNNEL_OFF && t->device)
		stop_device(t, true); /* it was prepared, but never enabled */
	if (t->state != TUNNEL_ON)
		return;
	steering_clear(t->steering);
	t->state = TUNNEL_LINGERING;
	if (lingering_begin(&t->lingering, t->params.base, packets_read(t), on_linger, t))
		end_linger(t);
}

bool tunnel_is_served(int family)
{
	struct link_info tunnel, inner;

	return !pair_find(family, &tunnel, &inner) && tunnel.ifindex &&
	       device_is_served(tunnel.name);
}

int tunnel_remove(struct client *c, int family)
{
	return client_remove(c, key_name(family));
}

static int repair_configuration(struct tunnel *t)
{
	int err;

	if (!steering_peers_configured(t->steering))
		return 0;
	t->restore |= client_device_configured_by_others(t->device);
	client_device_forgive(t->device);
	if (!t->restore)
		return 0;
	log_info("another program configured the device: our configuration is restored",
		 "interface=%s", client_device_name(t->device));
	err = configure_interface(t);
	if (!err)
		err = steering_repair_peers(t->steering);
	if (err)
		return err;
	t->restore = false;
	return 1;
}

void tunnel_lose_device(struct tunnel *t)
{
	if (t->device)
		stop_device(t, false);
}

/* Repairs each part separately: a failure of one does not stop the others. */
int tunnel_repair(struct tunnel *t, bool network)
{
	int done[4] = {0}, repaired = 0, err = 0;

	if (t->state == TUNNEL_ON && !t->device)
		return -ENODEV; /* a pass makes it */
	if (t->state != TUNNEL_ON || client_device_ended(t->device))
		return 0;
	done[0] = client_device_repair(t->device);
	done[1] = set_link(t);
	done[2] = repair_configuration(t);
	if (network)
		done[3] = steering_repair_network(t->steering);
	for (size_t i = 0; i < sizeof(done) / sizeof(*done); i++) {
		if (done[i] > 0)
			repaired += done[i];
		else if (!err)
			err = done[i];
	}
	return err ? err : repaired;
}

void tunnel_tick(struct tunnel *t)
{
	if (t->state != TUNNEL_ON)
		return;
	steering_tick(t->steering);
	if (t->device)
		drops_explain(&t->drops, t->device);
}

const char *tunnel_problem(struct tunnel *t, const char **reason)
{
	const char *deleted = NULL;

	if (*t->problem) {
		*reason = "NameTaken";
		return t->problem;
	}
	if (t->state == TUNNEL_ON)
		deleted = deletions_problem(&t->deletions, name_of(t, &t->settings));
	if (deleted)
		*reason = "DeviceDeleted";
	return deleted;
}

void tunnel_request_handshake(struct tunnel *t, const uint8_t key[32])
{
	if (t->state == TUNNEL_ON && t->device)
		client_device_start_handshakes(t->device, (const uint8_t(*)[32])key, 1, false);
}

enum tunnel_state tunnel_state(const struct tunnel *t)
{
	return t->state;
}

struct client_device *tunnel_device(const struct tunnel *t)
{
	return t->device;
}

void tunnel_each_peer(struct tunnel *t,
		      void (*peer)(void *context, const struct tunnel_peer_status *p),
		      void *context)
{
	const struct tunnel_peers *all = steering_refreshed_peers(t->steering);

	for (size_t i = 0; i < all->n; i++) {
		const struct tunnel_peer *m = &all->all[i];
		/* A lingering tunnel has no routes any more. */
		const bool encrypting = m->routed && t->state == TUNNEL_ON;
		const struct tunnel_peer_status s = {
			.node = m->node,
			.encrypting = encrypting,
			.encrypting_since = encrypting ? m->routed_since : 0,
			.session = m->session,
			.unanswered = m->unanswered,
			.awaited = steering_awaits_first_session(m),
			.since = m->last_handshake / NSEC_PER_SEC,
			.session_age = m->session ? m->session_age : UINT64_MAX,
			.key = m->key,
			.endpoint = &m->current_endpoint,
			.sent = m->sent_bytes,
			.received = m->received_bytes,
		};

		peer(context, &s);
	}
}

void tunnel_each_encrypted(const struct tunnel *t,
			   void (*each)(void *context, const struct cidr *range), void *context)
{
	if (t->state == TUNNEL_ON)
		steering_each_encrypted(t->steering, each, context);
}
