/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/steering.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "protocol/limits.h"
#include "service/client.h"
#include "tunnel/network.h"

/* The device repeats an unanswered initiation for 90 s. After that we start a new one. */
#define RETRY_TICKS 10
/* With host encryption: how often silent peers are asked for a handshake. */
#define PROBE_TICKS 30
/* After this many ticks without a session a warning is logged. */
#define FIRST_SESSION_TICKS 30

struct steering {
	int family;
	const struct settings *settings;
	struct client_device *device; /* NULL: none */
	struct network *network;
	struct tunnel_peers peers;
	/* The plan's ranges and the peer of each. The routes are computed from them again when a
	 * session is established. */
	struct range {
		struct cidr cidr;
		size_t peer; /* PLAN_NO_PEER: a throw route; if `closed`, an unreachable route */
		bool host, closed;
	} * ranges;
	size_t n_ranges;
	struct cidr address;
	uint16_t keepalive;    /* as configured last, s */
	bool peers_configured; /* the device has the peers, and nothing failed since */
	unsigned int ticks;
};

struct steering *steering_new(int family, const struct settings *settings)
{
	struct steering *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->family = family;
	s->settings = settings;
	s->network = network_new(family);
	if (!s->network) {
		free(s);
		return NULL;
	}
	return s;
}

void steering_forget(struct steering *s)
{
	tunnel_peers_fini(&s->peers);
	free(s->ranges);
	s->ranges = NULL;
	s->n_ranges = 0;
	s->peers_configured = false;
}

void steering_free(struct steering *s)
{
	if (!s)
		return;
	steering_forget(s);
	network_free(s->network);
	free(s);
}

/* --- the device comes and goes --- */

int steering_start(struct steering *s, struct client_device *d)
{
	s->device = d;
	return network_adopt(s->network, client_device_ifindex(d), s->settings->route_table);
}

void steering_stop(struct steering *s)
{
	s->device = NULL;
	s->peers_configured = false;
	for (size_t i = 0; i < s->peers.n; i++) {
		s->peers.all[i].session = false;
		s->peers.all[i].old_sessions = 0;
	}
}

void steering_clear(struct steering *s)
{
	network_clear(s->network);
}

void steering_require_new_sessions(struct steering *s)
{
	tunnel_peers_refresh(&s->peers, s->device);
	for (size_t i = 0; i < s->peers.n; i++)
		tunnel_peer_require_new_session(&s->peers.all[i]);
}

/* --- which peers are routed --- */

/* The part of a public key that the log shows, with a terminating zero. */
#define SHORT_KEY 9

static const char *short_key(const uint8_t key[32], char out[SHORT_KEY])
{
	/* Six bytes are eight characters of base64. */
	return sodium_bin2base64(out, SHORT_KEY, key, 6, sodium_base64_VARIANT_ORIGINAL);
}

/* Decides whose routes go through the tunnel. True if routes have to change. */
static bool update_routed(struct steering *s)
{
	bool changed;

	/* The status may have refreshed them, too: the flag stays set until it is cleared here. */
	tunnel_peers_refresh(&s->peers, s->device);
	changed = s->peers.changed && s->settings->host_encryption;
	s->peers.changed = false;
	for (size_t i = 0; i < s->peers.n; i++) {
		struct tunnel_peer *m = &s->peers.all[i];
		char key[SHORT_KEY];

		if (m->routed || !(tunnel_peer_has_fresh_session(m) || s->settings->strict))
			continue;
		m->routed = changed = true;
		m->routed_since = (uint64_t)time(NULL);
		log_info("encrypting", "peer=%s key=%s interface=%s", m->node,
			 short_key(m->key, key), client_device_name(s->device));
	}
	return changed;
}

/* A node's routes stay in the tunnel while it is a peer, whatever else about it changes. Routes
 * that an earlier agent made stay there, too. */
static void inherit(struct steering *s, struct tunnel_peers *now)
{
	for (size_t i = 0; i < now->n; i++) {
		const struct tunnel_peer *before = tunnel_peers_find(&s->peers, now->all[i].node);

		if (before) {
			now->all[i].routed = before->routed;
			now->all[i].routed_ticks = before->routed_ticks;
			now->all[i].routed_since = before->routed_since;
			if (!memcmp(before->key, now->all[i].key, 32))
				now->all[i].old_sessions = before->old_sessions;
			now->all[i].ticks_without_session = before->ticks_without_session;
			continue;
		}
		for (size_t k = 0; k < s->n_ranges && !now->all[i].routed; k++)
			now->all[i].routed = s->ranges[k].peer == i && !s->ranges[k].host &&
					     network_had_route(s->network, &s->ranges[k].cidr);
		if (now->all[i].routed && !now->all[i].routed_since)
			now->all[i].routed_since = (uint64_t)time(NULL);
	}
}

/* --- routes --- */

/* The MTU of the routes to a peer: a multiple of WireGuard's padding, which fits an MTU only on the
 * device. 0: that of the device, which is the settings' or that of the path with the largest one. */
static uint32_t route_mtu(const struct steering *s, const struct tunnel_peer *m)
{
	const uint32_t wanted = s->family == AF_INET ? s->settings->mtu4 : s->settings->mtu6;
	const uint32_t mtu = m->path.mtu;

	return wanted || mtu == s->peers.largest_mtu ? 0 : mtu - mtu % MESSAGE_PADDING;
}

static int apply_routes(struct steering *s)
{
	const struct settings *settings = s->settings;
	struct network_want w = {
		.ifindex = client_device_ifindex(s->device),
		.priority = settings->rule_priority,
		.table = settings->route_table,
		.rule = true,
		.address = s->address,
	};

	w.routes = calloc(s->n_ranges ? s->n_ranges * 2 : 1, sizeof(*w.routes));
	if (!w.routes)
		return -ENOMEM;
	for (size_t i = 0; i < s->n_ranges; i++) {
		const struct range *r = &s->ranges[i];
		const struct tunnel_peer *m =
			r->peer == PLAN_NO_PEER ? NULL : &s->peers.all[r->peer];
		struct route *to = &w.routes[w.n_routes];

		/* A node's own address is routed through the tunnel only while the node answers.
		 * Else it could not reach its store to publish a new key, and we could not reach
		 * ours. */
		if (r->host && m && (!m->routed || m->unanswered))
			continue;
		*to = (struct route){.to = r->cidr,
				     .kind = r->closed ? ROUTE_UNREACHABLE : ROUTE_THROW};
		w.n_routes++;
		if (!m || !m->routed)
			continue;
		to->kind = ROUTE_DEVICE;
		to->source = s->address;
		to->mtu = route_mtu(s, m);
		if (!r->host)
			w.routes[w.n_routes++] =
				(struct route){.to = r->cidr, .kind = ROUTE_BACKUP};
	}
	return network_apply(s->network, &w);
}

static int copy_ranges(struct steering *s, const struct plan *p)
{
	struct range *ranges = calloc(p->n_ranges ? p->n_ranges : 1, sizeof(*ranges));

	if (!ranges)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_ranges; i++)
		ranges[i] = (struct range){
			.cidr = p->ranges[i].cidr,
			.peer = p->ranges[i].peer, /* s->peers has the order of the plan's peers */
			.host = p->ranges[i].host,
			.closed = p->ranges[i].closed,
		};
	free(s->ranges);
	s->ranges = ranges;
	s->n_ranges = p->n_ranges;
	return 0;
}

/* --- peers --- */

/* Starts handshakes with all peers that `wanted` chooses, in one request. */
static void start_handshakes(struct steering *s, bool (*wanted)(const struct tunnel_peer *m),
			     bool anyway)
{
	uint8_t(*keys)[KEY_SIZE] = calloc(s->peers.n ? s->peers.n : 1, sizeof(*keys));
	size_t n = 0;

	for (size_t i = 0; keys && i < s->peers.n; i++)
		if (wanted(&s->peers.all[i]))
			memcpy(keys[n++], s->peers.all[i].key, KEY_SIZE);
	if (keys)
		client_device_start_handshakes(s->device, (const uint8_t(*)[KEY_SIZE])keys, n,
					       anyway);
	free(keys);
}

static bool has_no_session(const struct tunnel_peer *m)
{
	return !tunnel_peer_has_fresh_session(m);
}

static void start_sessions(struct steering *s)
{
	start_handshakes(s, has_no_session, true);
}

int steering_update(struct steering *s, const struct plan *p)
{
	const uint16_t keepalive = s->settings->keepalive;
	const bool fresh = !s->peers_configured;
	struct tunnel_peers now, before;
	int err = tunnel_peers_from_plan(&now, p, s->family);

	if (err)
		return err;
	err = copy_ranges(s, p);
	if (err) {
		tunnel_peers_fini(&now);
		return err;
	}
	s->address = p->address;
	inherit(s, &now);
	before = s->peers;
	s->peers = now;
	if (fresh)
		tunnel_peers_adopt(&s->peers, s->device);
	err = tunnel_peers_configure(&s->peers, fresh ? NULL : &before, s->device, keepalive,
				     keepalive != s->keepalive);
	if (err) {
		log_error("peers could not be configured", "interface=%s errno=%d",
			  client_device_name(s->device), -err);
		s->peers_configured = false; /* all peers are configured again next time */
	} else {
		s->keepalive = keepalive;
		update_routed(s);
		start_sessions(s);
		err = apply_routes(s);
		/* After a failure the device's state is unknown: remove what is not planned. */
		if (fresh) {
			network_forget_addresses(s->network, client_device_ifindex(s->device));
			tunnel_peers_remove_foreign(&s->peers, s->device);
		} else {
			tunnel_peers_remove_outdated(&before, &s->peers, s->device);
		}
		s->peers_configured = true;
	}
	tunnel_peers_fini(&before);
	return err;
}

void steering_on_new_sessions(struct steering *s)
{
	if (s->peers_configured && update_routed(s))
		apply_routes(s);
}

bool steering_peers_configured(const struct steering *s)
{
	return s->peers_configured;
}

int steering_repair_peers(struct steering *s)
{
	int err = tunnel_peers_remove_foreign(&s->peers, s->device);

	for (size_t i = 0; i < s->peers.n; i++)
		s->peers.all[i].adopted = false;
	if (!err)
		err = tunnel_peers_configure(&s->peers, NULL, s->device, s->settings->keepalive,
					     false);
	if (!err)
		start_sessions(s);
	return err;
}

int steering_repair_network(struct steering *s)
{
	if (!s->peers_configured)
		return 0;
	return network_repair(s->network);
}

/* A node that has lost its key cannot tell us: it has no session, and our reverse-path filter may
 * drop its plaintext. So ask peers that send nothing for a handshake. */
static bool is_silent(const struct tunnel_peer *m)
{
	return m->routed && m->received == m->received_at_probe;
}

static void probe(struct steering *s)
{
	start_handshakes(s, is_silent, true);
	for (size_t i = 0; i < s->peers.n; i++)
		s->peers.all[i].received_at_probe = s->peers.all[i].received;
}

static bool does_not_answer(const struct tunnel_peer *m)
{
	return !m->routed || !m->last_handshake || m->unanswered;
}

void steering_tick(struct steering *s)
{
	const bool retry = ++s->ticks % RETRY_TICKS == 0;

	if (!s->peers_configured)
		return;
	if (s->settings->host_encryption && update_routed(s))
		apply_routes(s);
	if (s->settings->host_encryption && s->ticks % PROBE_TICKS == 0)
		probe(s);
	for (size_t i = 0; i < s->peers.n; i++) {
		struct tunnel_peer *m = &s->peers.all[i];
		char key[SHORT_KEY];

		if (m->routed && m->routed_ticks < STEADY_TICKS)
			m->routed_ticks++;
		if (!m->routed && ++m->ticks_without_session == FIRST_SESSION_TICKS)
			log_warn("no session with a peer, so its traffic is not encrypted",
				 "peer=%s key=%s interface=%s needs=\"UDP port %u open both ways, "
				 "and an agent there\"",
				 m->node, short_key(m->key, key), client_device_name(s->device),
				 ntohs(m->endpoint.to.v4.sin_port));
	}
	if (retry)
		start_handshakes(s, does_not_answer, false);
}

void steering_each_encrypted(const struct steering *s,
			     void (*each)(void *context, const struct cidr *range), void *context)
{
	for (size_t i = 0; i < s->n_ranges; i++) {
		const struct range *r = &s->ranges[i];

		if (r->peer != PLAN_NO_PEER && !r->host &&
		    s->peers.all[r->peer].routed_ticks == STEADY_TICKS)
			each(context, &r->cidr);
	}
}

const struct tunnel_peers *steering_refreshed_peers(struct steering *s)
{
	tunnel_peers_refresh(&s->peers, s->device);
	return &s->peers;
}

bool steering_awaits_first_session(const struct tunnel_peer *m)
{
	return !m->last_handshake && m->ticks_without_session < FIRST_SESSION_TICKS &&
	       !(m->routed && m->unanswered);
}
