/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/tunnel_peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "protocol/limits.h"
#include "service/client.h"

static void tunnel_peer_fini(struct tunnel_peer *m)
{
	free(m->node);
	free(m->allowed);
}

void tunnel_peers_fini(struct tunnel_peers *m)
{
	for (size_t i = 0; i < m->n; i++)
		tunnel_peer_fini(&m->all[i]);
	free(m->all);
	*m = (struct tunnel_peers){.all = NULL};
}

static int by_node(const void *name, const void *peer)
{
	return strcmp(name, ((const struct tunnel_peer *)peer)->node);
}

struct tunnel_peer *tunnel_peers_find(const struct tunnel_peers *m, const char *node)
{
	return m->n ? bsearch(node, m->all, m->n, sizeof(*m->all), by_node) : NULL;
}

static int tunnel_peer_from_plan(struct tunnel_peer *m, const struct plan_peer *p, int family)
{
	*m = (struct tunnel_peer){
		.endpoint = p->endpoint, .path = p->path, .n_allowed = p->n_allowed};
	memcpy(m->key, plan_key(p->node, family), 32);
	m->node = strdup(p->node->name);
	m->allowed = malloc((p->n_allowed ? p->n_allowed : 1) * sizeof(*m->allowed));
	if (!m->node || !m->allowed) {
		tunnel_peer_fini(m);
		return -ENOMEM;
	}
	memcpy(m->allowed, p->allowed, p->n_allowed * sizeof(*m->allowed));
	return 0;
}

int tunnel_peers_from_plan(struct tunnel_peers *out, const struct plan *p, int family)
{
	struct tunnel_peers m = {.all = calloc(p->n_peers ? p->n_peers : 1, sizeof(*m.all)),
				 .largest_mtu = plan_largest_mtu(p)};

	if (!m.all)
		return -ENOMEM;
	for (; m.n < p->n_peers; m.n++) {
		if (tunnel_peer_from_plan(&m.all[m.n], &p->peers[m.n], family)) {
			tunnel_peers_fini(&m);
			return -ENOMEM;
		}
	}
	*out = m;
	return 0;
}

static bool same_allowed(const struct tunnel_peer *a, const struct tunnel_peer *b)
{
	if (a->n_allowed != b->n_allowed)
		return false;
	for (size_t i = 0; i < a->n_allowed; i++)
		if (cidr_compare(&a->allowed[i], &b->allowed[i]))
			return false;
	return true;
}

/* --- configuring the device --- */

/* A peer that roamed keeps its endpoint, unless the endpoint in its record has changed, or messages to
 * that one leave by another device now: where it roamed to may be gone. */
static bool is_moved(const struct tunnel_peer *now, const struct tunnel_peer *before)
{
	if (!before)
		return !now->adopted;
	return !endpoint_equal(&before->endpoint, &now->endpoint) ||
	       before->path.ifindex != now->path.ifindex;
}

static int fill_peer_config(struct peer_config *pc, const struct tunnel_peer *now,
			    const struct tunnel_peer *before, uint16_t keepalive)
{
	*pc = (struct peer_config){.keepalive = keepalive, .set = PEER_SET_KEEPALIVE};
	memcpy(pc->public_key, now->key, 32);
	if (endpoint_present(&now->endpoint) && is_moved(now, before)) {
		pc->set |= PEER_SET_ENDPOINT;
		pc->endpoint = now->endpoint;
	}
	if (before && same_allowed(before, now))
		return 0;
	pc->set |= PEER_REPLACE_ALLOWED_IPS;
	pc->allowed = calloc(now->n_allowed ? now->n_allowed : 1, sizeof(*pc->allowed));
	if (!pc->allowed)
		return -ENOMEM;
	for (size_t i = 0; i < now->n_allowed; i++)
		pc->allowed[pc->n_allowed++].cidr = now->allowed[i];
	return 0;
}

int tunnel_peers_configure(const struct tunnel_peers *now, const struct tunnel_peers *before,
			   struct client_device *d, uint16_t keepalive, bool keepalive_changed)
{
	struct device_config c = {.set = 0};
	int err = 0;

	c.peers = calloc(now->n ? now->n : 1, sizeof(*c.peers));
	if (!c.peers)
		return -ENOMEM;
	for (size_t i = 0; i < now->n && !err; i++) {
		const struct tunnel_peer *m = &now->all[i];
		const struct tunnel_peer *b = before ? tunnel_peers_find(before, m->node) : NULL;

		if (b && memcmp(b->key, m->key, 32))
			b = NULL;
		if (b && same_allowed(b, m) && endpoint_equal(&b->endpoint, &m->endpoint) &&
		    b->path.ifindex == m->path.ifindex && !keepalive_changed)
			continue;
		err = fill_peer_config(&c.peers[c.n_peers++], m, b, keepalive);
	}
	if (!err && c.n_peers)
		err = client_device_configure(d, &c, false);
	device_config_fini(&c);
	return err;
}

struct foreign_peers {
	const struct tunnel_peers *ours;
	struct device_config remove;
	size_t room;
};

static void visit_foreign_peer(const struct peer_view *v, void *context)
{
	struct foreign_peers *s = context;
	struct peer_config *p;

	for (size_t i = 0; i < s->ours->n; i++)
		if (!memcmp(s->ours->all[i].key, v->public_key, 32))
			return;
	if (ARRAY_GROW(s->remove.peers, s->remove.n_peers, s->room))
		return;
	p = &s->remove.peers[s->remove.n_peers++];
	*p = (struct peer_config){.set = PEER_REMOVE | PEER_UPDATE_ONLY};
	memcpy(p->public_key, v->public_key, 32);
}

int tunnel_peers_remove_foreign(const struct tunnel_peers *m, struct client_device *d)
{
	struct foreign_peers s = {.ours = m};
	int err = 0;

	client_device_report(d, NULL, visit_foreign_peer, &s);
	if (s.remove.n_peers)
		err = client_device_configure(d, &s.remove, false);
	device_config_fini(&s.remove);
	return err;
}

int tunnel_peers_remove_outdated(const struct tunnel_peers *before, const struct tunnel_peers *now,
				 struct client_device *d)
{
	struct device_config c = {.set = 0};
	int err = 0;

	c.peers = calloc(before->n ? before->n : 1, sizeof(*c.peers));
	if (!c.peers)
		return -ENOMEM;
	for (size_t i = 0; i < before->n; i++) {
		const struct tunnel_peer *still = tunnel_peers_find(now, before->all[i].node);

		if (still && !memcmp(still->key, before->all[i].key, 32))
			continue;
		c.peers[c.n_peers].set = PEER_REMOVE | PEER_UPDATE_ONLY;
		memcpy(c.peers[c.n_peers++].public_key, before->all[i].key, 32);
	}
	if (c.n_peers)
		err = client_device_configure(d, &c, false);
	device_config_fini(&c);
	return err;
}

/* --- sessions --- */

/* The device has its peers in another order than we do, so search them by key. */
static int by_key_pointer(const void *a, const void *b)
{
	return memcmp((*(struct tunnel_peer *const *)a)->key,
		      (*(struct tunnel_peer *const *)b)->key, 32);
}

struct session_search {
	struct tunnel_peer **by_key;
	size_t n;
	bool *changed;
};

static int key_of_pointer(const void *key, const void *peer)
{
	return memcmp(key, (*(struct tunnel_peer *const *)peer)->key, 32);
}

static void visit_session(const struct peer_view *v, void *context)
{
	struct session_search *x = context;
	struct tunnel_peer **found =
		bsearch(v->public_key, x->by_key, x->n, sizeof(*x->by_key), key_of_pointer);

	if (found)
		*x->changed |= tunnel_peer_observe(*found, v);
}

void tunnel_peers_refresh(struct tunnel_peers *m, struct client_device *d)
{
	struct session_search x = {.n = m->n, .changed = &m->changed};

	if (!d || !x.n)
		return;
	x.by_key = malloc(x.n * sizeof(*x.by_key));
	if (!x.by_key)
		return;
	for (size_t i = 0; i < x.n; i++)
		x.by_key[i] = &m->all[i];
	qsort(x.by_key, x.n, sizeof(*x.by_key), by_key_pointer);
	client_device_report(d, NULL, visit_session, &x);
	free(x.by_key);
}

void tunnel_peers_adopt(struct tunnel_peers *m, struct client_device *d)
{
	for (size_t i = 0; i < m->n; i++)
		m->all[i].session = false;
	tunnel_peers_refresh(m, d);
	for (size_t i = 0; i < m->n; i++)
		m->all[i].adopted =
			m->all[i].session && endpoint_present(&m->all[i].current_endpoint);
}

bool tunnel_peer_observe(struct tunnel_peer *m, const struct peer_view *v)
{
	/* The device counts attempts anew for each handshake. So a peer that did not answer stays
	 * unanswered until there is a new session. */
	const bool unanswered = v->attempts || (m->unanswered && m->sessions == v->sessions);
	const bool changed = unanswered != m->unanswered;

	/* The device has made the peer anew meanwhile and counts from zero. */
	if (v->sessions < m->old_sessions)
		m->old_sessions = 0;
	m->session = v->session_age_ns != UINT64_MAX;
	m->sessions = v->sessions;
	m->last_handshake = (uint64_t)v->last_handshake.tv_sec * NSEC_PER_SEC +
			    (uint64_t)v->last_handshake.tv_nsec;
	m->received = v->rx_packets;
	m->session_age = v->session_age_ns;
	m->current_endpoint = v->endpoint;
	m->sent_bytes = v->tx_bytes;
	m->received_bytes = v->rx_bytes;
	m->unanswered = unanswered;
	return changed;
}

void tunnel_peer_require_new_session(struct tunnel_peer *m)
{
	m->routed = false;
	m->routed_ticks = 0;
	m->old_sessions = m->sessions;
}

bool tunnel_peer_has_fresh_session(const struct tunnel_peer *m)
{
	return m->session && m->sessions > m->old_sessions;
}
