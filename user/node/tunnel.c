/* SPDX-License-Identifier: Apache-2.0 */
#include "node/tunnel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bpf/pins.h"
#include "device/device.h"
#include "device/wg_socket.h"
#include "netlink/link.h"
#include "node/entry.h"
#include "node/keys.h"
#include "node/members.h"
#include "node/network.h"
#include "node/source_check.h"
#include "observe/log.h"
#include "protocol/limits.h"

/* Others learn within a second or so that we are off; until then they send encrypted. */
#define LINGER_SECONDS 5
/* An initiation that nobody answers is repeated for 90 s by the device; after that by us. */
#define RETRY_TICKS 10
/* With host encryption, silent peers are asked so often whether they still have our key. */
#define PROBE_TICKS 30
/* So long without a session is worth a word. */
#define PATIENCE_TICKS 30

struct tunnel {
	struct tunnel_params params;
	enum tunnel_state state;
	struct device *device;
	struct wg_socket *socket;
	uint64_t version; /* of the device's configuration, as we left it */
	struct network *network;
	struct entry *entry;
	struct event *linger;
	bool has_key;
	uint8_t private_key[32], public_key[32];
	struct settings settings; /* as last told */
	uint32_t mtu;
	uint16_t keepalive; /* as peers were told */
	struct members members;
	/* The plan's ranges and the member of each, to work out routes again when a session stands.
	 */
	struct range {
		struct cidr cidr;
		size_t member; /* PLAN_NO_PEER: throw */
		bool host;
	} * ranges;
	size_t n_ranges;
	struct cidr address;
	bool planned;
	unsigned int ticks;
};

static const char *name_of(const struct tunnel *t, const struct settings *s)
{
	return t->params.family == AF_INET ? s->interface4 : s->interface6;
}

static const char *inner_name(int family)
{
	return family == AF_INET ? "pv4.xsk" : "pv6.xsk";
}

static const char *key_name(int family)
{
	return family == AF_INET ? "wireguard" : "wireguard-v6";
}

/* --- device --- */

static int tell_interface(struct tunnel *t)
{
	struct device_config c = {
		.set = DEVICE_SET_PRIVATE_KEY | DEVICE_SET_LISTEN_PORT | DEVICE_SET_FWMARK,
		.listen_port = t->params.family == AF_INET ? t->settings.port4 : t->settings.port6,
		.fwmark = RULE_MARK,
	};
	int err;

	memcpy(c.private_key, t->private_key, 32);
	err = device_configure(t->device, &c);
	device_config_fini(&c);
	return err;
}

static uint64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

/* What the log says of a public key. */
#define SHORT_KEY 9

static const char *short_key(const uint8_t key[32], char out[SHORT_KEY])
{
	/* Six bytes are eight characters. */
	return sodium_bin2base64(out, SHORT_KEY, key, 6, sodium_base64_VARIANT_ORIGINAL);
}

/* --- routes --- */

static int apply_routes(struct tunnel *t)
{
	const struct settings *s = &t->settings;
	struct network_want w = {
		.ifindex = device_ifindex(t->device),
		.priority = s->rule_priority,
		.table = s->route_table,
		.rule = true,
		.address = t->address,
	};

	w.routes = calloc(t->n_ranges ? t->n_ranges * 2 : 1, sizeof(*w.routes));
	if (!w.routes)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_ranges; i++) {
		const struct range *r = &t->ranges[i];
		const struct member *m =
			r->member == PLAN_NO_PEER ? NULL : &t->members.all[r->member];
		struct route *to = &w.routes[w.n_routes];

		/* A node's own address goes through the tunnel as long as that works: else it could
		 * not reach its store to publish a new key, nor we ours. */
		if (r->host && (!m || !m->through || m->unanswered))
			continue;
		*to = (struct route){.to = r->cidr, .kind = ROUTE_THROW};
		w.n_routes++;
		if (!m || !m->through)
			continue;
		to->kind = ROUTE_DEVICE;
		to->source = t->address;
		if (!r->host)
			w.routes[w.n_routes++] =
				(struct route){.to = r->cidr, .kind = ROUTE_BACKUP};
	}
	entry_routes(t->entry, w.routes, w.n_routes);
	return network_apply(t->network, &w);
}

/* Whose routes may go through the tunnel? True if routes have to change. */
static bool advance(struct tunnel *t)
{
	bool changed = members_look(&t->members, t->device) && t->settings.host_encryption;

	for (size_t i = 0; i < t->members.n; i++) {
		struct member *m = &t->members.all[i];
		char key[SHORT_KEY];

		if (m->through || !(members_fresh_session(m) || t->settings.strict))
			continue;
		m->through = changed = true;
		m->through_since = (uint64_t)time(NULL);
		log_info("encrypting", "peer=%s key=%s interface=%s", m->node,
			 short_key(m->key, key), device_name(t->device));
	}
	return changed;
}

static void on_sessions(struct device *d, void *context)
{
	struct tunnel *t = context;

	(void)d;
	if (t->state == TUNNEL_ON && t->planned && advance(t))
		apply_routes(t);
}

static void stop_device(struct tunnel *t, bool remove)
{
	entry_stop(t->entry, remove);
	wg_socket_free(t->socket);
	t->socket = NULL;
	device_free(t->device, remove);
	t->device = NULL;
	for (size_t i = 0; i < t->members.n; i++)
		t->members.all[i].session = false;
}

/* Called by the device itself, which cannot be freed from here. */
static void on_gone(struct device *d, void *context)
{
	struct tunnel *t = context;

	log_warn("tunnel device was deleted, it is made anew", "interface=%s", device_name(d));
	t->params.changed(t, t->params.context);
}

static void on_renamed(struct device *d, void *context)
{
	struct tunnel *t = context;

	(void)d;
	if (t->socket && wg_socket_rename(t->socket))
		log_warn("wg socket did not follow the device's name", "interface=%s",
			 device_name(t->device));
	t->params.changed(t, t->params.context);
}

static int start_device(struct tunnel *t)
{
	const struct settings *s = &t->settings;
	const struct device_params p = {
		.base = t->params.base,
		.name = name_of(t, s),
		.inner_name = inner_name(t->params.family),
		.workers = s->workers,
		.mtu = t->mtu,
		.wire = WIRE_SOCKET, /* until the uplink is known */
		.adopt = true,
		.ended = on_gone,
		.renamed = on_renamed,
		.sessions = on_sessions,
		.context = t,
	};
	struct link_info link;
	const bool adopted = !link_get(p.name, &link);
	int err;

	/* Stamps of a dead process name slots that mean others now. */
	entry_sweep(t->params.family);
	err = device_new(&p, &t->device);
	if (err)
		return err;
	err = wg_socket_new(t->params.base, t->device, &t->socket);
	if (err)
		goto fail;
	/* What went through the tunnel before we died goes on doing so. */
	err = network_adopt(t->network, device_ifindex(t->device), s->route_table);
	if (err)
		goto fail;
	return 0;
fail:
	stop_device(t, !adopted);
	return err;
}

static int set_link(struct tunnel *t)
{
	const char *wanted = name_of(t, &t->settings);
	struct link_info link;
	int err = link_get_index(device_ifindex(t->device), &link), mended = 0;

	if (!err && strcmp(link.name, wanted)) {
		err = link_rename(link.ifindex, wanted);
		mended++;
	}
	if (!err && link.mtu != t->mtu) {
		err = link_set_mtu(link.ifindex, t->mtu);
		mended++;
	}
	if (!err && !link.up) {
		err = link_set_up(link.ifindex, true);
		mended++;
	}
	if (err)
		return err;
	err = source_check_loosen(wanted);
	return err < 0 ? err : mended + err;
}

/* --- the life of a tunnel --- */

struct tunnel *tunnel_new(const struct tunnel_params *params)
{
	struct tunnel *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->params = *params;
	t->network = network_new(params->family);
	t->entry = entry_new(params->family);
	if (!t->network || !t->entry) {
		network_free(t->network);
		entry_free(t->entry);
		free(t);
		return NULL;
	}
	return t;
}

static void forget_plan(struct tunnel *t)
{
	members_fini(&t->members);
	free(t->ranges);
	t->ranges = NULL;
	t->n_ranges = 0;
	t->planned = false;
}

void tunnel_free(struct tunnel *t, bool remove)
{
	if (!t)
		return;
	if (t->linger)
		event_free(t->linger);
	/* Lingering, the routes are gone already, and nobody needs the device. */
	if (t->state == TUNNEL_LINGERING)
		remove = true;
	if (remove) {
		entry_stop(t->entry, true);
		network_clear(t->network);
	}
	stop_device(t, remove);
	forget_plan(t);
	network_free(t->network);
	entry_free(t->entry);
	sodium_memzero(t, sizeof(*t));
	free(t);
}

int tunnel_key(struct tunnel *t, uint8_t public_key[32])
{
	int err = 0;

	if (!t->has_key) {
		err = keys_load(key_name(t->params.family), t->private_key);
		if (!err)
			err = crypto_scalarmult_base(t->public_key, t->private_key) ? -EINVAL : 0;
		t->has_key = !err;
	}
	memcpy(public_key, t->public_key, 32);
	return err;
}

static void start_sessions(struct tunnel *t)
{
	for (size_t i = 0; i < t->members.n; i++)
		if (!members_fresh_session(&t->members.all[i]))
			device_handshake(t->device, t->members.all[i].key, true);
}

/* Switched on again while it was ending: others may have forgotten us, or not yet. What they still
 * send is read; but nothing is sent to them in the tunnel before they agreed to it anew. */
static void begin_anew(struct tunnel *t)
{
	for (size_t i = 0; i < t->members.n; i++) {
		t->members.all[i].through = false;
		t->members.all[i].not_before = realtime_ns();
	}
}

int tunnel_enable(struct tunnel *t, const struct settings *s, uint32_t mtu, int uplink)
{
	const bool workers_changed = t->device && s->workers != t->settings.workers;
	uint8_t unused[32];
	int err = tunnel_key(t, unused);

	if (err)
		return err;
	if (t->linger)
		evtimer_del(t->linger);
	if (t->state == TUNNEL_LINGERING)
		begin_anew(t);
	t->settings = *s;
	t->mtu = mtu;
	if (workers_changed) {
		log_info("the tunnel device is made anew", "interface=%s workers=%u",
			 device_name(t->device), s->workers);
		stop_device(t, true);
		t->planned = false;
	}
	if (t->device && device_ended(t->device)) {
		stop_device(t, true);
		t->planned = false;
	}
	if (!t->device)
		err = start_device(t);
	if (!err)
		device_wire(t->device, s->wire, uplink);
	if (!err)
		err = tell_interface(t);
	if (!err)
		err = set_link(t);
	if (err < 0)
		return err;
	entry_prepare(t->entry, t->device, s);
	t->state = TUNNEL_ON;
	t->version = device_version(t->device);
	return 0;
}

static int take_ranges(struct tunnel *t, const struct plan *p)
{
	struct range *ranges = calloc(p->n_ranges ? p->n_ranges : 1, sizeof(*ranges));

	if (!ranges)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_ranges; i++)
		ranges[i] = (struct range){
			.cidr = p->ranges[i].cidr,
			.member = p->ranges[i].peer, /* members are in the order of peers */
			.host = p->ranges[i].host,
		};
	free(t->ranges);
	t->ranges = ranges;
	t->n_ranges = p->n_ranges;
	return 0;
}

/* Traffic with a node stays encrypted while it is a peer, whatever else about it changes; and after
 * a restart it is where the routes of the process before us lead. */
static void inherit(struct tunnel *t, struct members *now)
{
	for (size_t i = 0; i < now->n; i++) {
		const struct member *before = members_find(&t->members, now->all[i].node);

		if (before) {
			now->all[i].through = before->through;
			now->all[i].through_since = before->through_since;
			now->all[i].not_before = before->not_before;
			now->all[i].waiting = before->waiting;
			continue;
		}
		for (size_t k = 0; k < t->n_ranges && !now->all[i].through; k++)
			now->all[i].through = t->ranges[k].member == i && !t->ranges[k].host &&
					      network_was_through(t->network, &t->ranges[k].cidr);
		if (now->all[i].through && !now->all[i].through_since)
			now->all[i].through_since = (uint64_t)time(NULL);
	}
}

int tunnel_update(struct tunnel *t, const struct plan *p, const struct settings *s)
{
	const bool keepalive_changed = s->keepalive != t->keepalive;
	const bool fresh = !t->planned;
	struct members now, before;
	int err;

	if (t->state != TUNNEL_ON)
		return -ENODEV;
	t->settings = *s;
	err = members_from(&now, p, t->params.family);
	if (!err)
		err = take_ranges(t, p);
	if (err)
		return err;
	t->address = p->address;
	inherit(t, &now);
	before = t->members;
	t->members = now;
	err = members_tell(&t->members, fresh ? NULL : &before, t->device, s->keepalive,
			   keepalive_changed);
	if (err) {
		log_error("peers could not be configured", "interface=%s errno=%d",
			  device_name(t->device), -err);
		t->planned = false; /* all of them are told again next time */
	} else {
		t->keepalive = s->keepalive;
		advance(t);
		start_sessions(t);
		err = apply_routes(t);
		/* After a failure nobody knows what the device still has. */
		if (fresh) {
			network_forget_addresses(t->network, device_ifindex(t->device));
			members_remove_strangers(&t->members, t->device);
		} else {
			members_forget(&before, &t->members, t->device);
		}
		t->planned = true;
	}
	t->version = device_version(t->device);
	members_fini(&before);
	return err;
}

static void on_linger(evutil_socket_t fd, short what, void *context)
{
	struct tunnel *t = context;

	(void)fd;
	(void)what;
	stop_device(t, true);
	forget_plan(t);
	t->state = TUNNEL_OFF;
	log_info("tunnel device removed", "interface=%s", name_of(t, &t->settings));
	t->params.changed(t, t->params.context);
}

void tunnel_disable(struct tunnel *t)
{
	const struct timeval delay = {LINGER_SECONDS, 0};

	if (t->state != TUNNEL_ON)
		return;
	entry_stop(t->entry, true);
	network_clear(t->network);
	t->state = TUNNEL_LINGERING;
	if (!t->linger)
		t->linger = evtimer_new(t->params.base, on_linger, t);
	if (!t->linger || evtimer_add(t->linger, &delay))
		on_linger(-1, 0, t);
}

void tunnel_cleanup(int family, const char *name, uint32_t priority, uint32_t table)
{
	struct link_info tunnel, inner;
	int err;

	entry_sweep(family);
	err = network_cleanup(family, priority, table);

	if (err)
		log_warn("rule and routes could not be removed", "table=%u errno=%d", table, -err);
	if (!link_get(inner_name(family), &inner) && !strcmp(inner.kind, "veth"))
		link_delete(inner.ifindex);
	else if (!link_get(name, &tunnel) && !strcmp(tunnel.kind, "veth") &&
		 !link_get_index(tunnel.peer_ifindex, &inner) &&
		 !strcmp(inner.name, inner_name(family)))
		link_delete(tunnel.ifindex);
	pins_remove(name);
}

void tunnel_forget_key(int family)
{
	keys_remove(key_name(family));
}

int tunnel_mend(struct tunnel *t, bool network)
{
	int mended = 0, err;

	if (t->state != TUNNEL_ON || !t->device || device_ended(t->device))
		return 0;
	err = keys_keep(key_name(t->params.family), t->private_key);
	if (err < 0)
		return err;
	mended += err;
	err = device_mend(t->device);
	if (err < 0)
		return err;
	mended += err;
	err = set_link(t);
	if (err < 0)
		return err;
	mended += err;
	/* Down, it forgot its sessions. */
	if (err) {
		members_look(&t->members, t->device);
		start_sessions(t);
	}
	if (t->planned && device_version(t->device) != t->version) {
		log_info("somebody configured the device, it is set back", "interface=%s",
			 device_name(t->device));
		err = tell_interface(t);
		if (!err)
			err = members_remove_strangers(&t->members, t->device);
		if (!err)
			err = members_tell(&t->members, NULL, t->device, t->settings.keepalive,
					   false);
		if (err)
			return err;
		t->version = device_version(t->device);
		start_sessions(t);
		mended++;
	}
	if (t->planned && network) {
		entry_follow(t->entry, 0);
		err = network_mend(t->network);
		if (err < 0)
			return err;
		mended += err;
	}
	return mended;
}

/* A node that lost its key cannot say so: to nobody does it reach the tunnel, and plaintext in its
 * name may not pass reverse-path filtering here. So whoever is silent is asked for a handshake. */
static void probe(struct tunnel *t)
{
	for (size_t i = 0; i < t->members.n; i++) {
		struct member *m = &t->members.all[i];

		if (m->through && m->received == m->received_then)
			device_handshake(t->device, m->key, true);
		m->received_then = m->received;
	}
}

void tunnel_tick(struct tunnel *t)
{
	const bool retry = ++t->ticks % RETRY_TICKS == 0;

	if (t->state != TUNNEL_ON || !t->planned)
		return;
	if (t->settings.host_encryption && advance(t))
		apply_routes(t);
	if (t->settings.host_encryption && t->ticks % PROBE_TICKS == 0)
		probe(t);
	for (size_t i = 0; i < t->members.n; i++) {
		struct member *m = &t->members.all[i];
		char key[SHORT_KEY];

		if (!m->through && ++m->waiting == PATIENCE_TICKS)
			log_warn("no session with a peer, so its traffic is not encrypted",
				 "peer=%s key=%s interface=%s needs=\"UDP port %u open both ways, "
				 "and an agent there\"",
				 m->node, short_key(m->key, key), device_name(t->device),
				 ntohs(m->endpoint.to.v4.sin_port));
		if (!retry)
			continue;

		if (!m->through || !m->last_handshake || m->unanswered)
			device_handshake(t->device, m->key, false);
	}
}

enum tunnel_state tunnel_state(const struct tunnel *t)
{
	return t->state;
}

struct device *tunnel_device(const struct tunnel *t)
{
	return t->device;
}

struct entry *tunnel_entry(const struct tunnel *t)
{
	return t->entry;
}

void tunnel_look(struct tunnel *t, void (*peer)(void *context, const struct tunnel_peer_status *p),
		 void *context)
{
	members_look(&t->members, t->device);
	for (size_t i = 0; i < t->members.n; i++) {
		const struct member *m = &t->members.all[i];
		const struct tunnel_peer_status s = {
			.node = m->node,
			.encrypting = m->through,
			.encrypting_since = m->through ? m->through_since : 0,
			.session = m->session,
			.awaited = !m->last_handshake && m->waiting < PATIENCE_TICKS &&
				   !(m->through && m->unanswered),
			.since = m->last_handshake / NSEC_PER_SEC,
			.session_age = m->session ? m->session_age : UINT64_MAX,
			.key = m->key,
			.endpoint = &m->where,
			.sent = m->sent_bytes,
			.received = m->received_bytes,
		};

		peer(context, &s);
	}
}
