/* SPDX-License-Identifier: Apache-2.0 */
#include "device/config_plan.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "podveil/maps.h"

/* A peer that the request names, after the entries so far. */
struct subject {
	const uint8_t *key; /* NULL: a free place in the table */
	bool exists;
	size_t n_allowed;
};

/* The state of the device after the entries so far. */
struct progress {
	const struct config_start *start;
	bool replaces;
	size_t n_peers, n_allowed;
	size_t room; /* of subjects; a power of two */
	struct subject *subjects;
	uint8_t hash_key[crypto_shorthash_KEYBYTES];
};

/* Finds the place of a key in the table, or takes a free one. There is always a free one. */
static struct subject *subject_of(struct progress *g, const uint8_t *key)
{
	uint64_t hash;

	_Static_assert(sizeof(hash) == crypto_shorthash_BYTES, "libsodium's hash");
	crypto_shorthash((uint8_t *)&hash, key, KEY_SIZE, g->hash_key);
	for (size_t i = (size_t)hash & (g->room - 1);; i = (i + 1) & (g->room - 1)) {
		struct subject *s = &g->subjects[i];

		if (s->key && memcmp(s->key, key, KEY_SIZE) != 0)
			continue;
		if (!s->key) {
			s->key = key;
			s->exists = !g->replaces &&
				    g->start->find(g->start->context, key, &s->n_allowed);
		}
		return s;
	}
}

static int check_allowed(const struct peer_config *pc, size_t *added)
{
	for (size_t k = 0; k < pc->n_allowed; k++) {
		const struct cidr *c = &pc->allowed[k].cidr;

		if ((c->family != AF_INET && c->family != AF_INET6) ||
		    c->prefix_len > (c->family == AF_INET ? 32 : 128))
			return -EINVAL;
		*added += !pc->allowed[k].remove;
	}
	return 0;
}

/* True: the entry makes a peer. */
static bool follow(struct progress *g, const struct peer_config *pc, size_t added)
{
	struct subject *s = subject_of(g, pc->public_key);
	const bool makes = !s->exists && !(pc->set & (PEER_REMOVE | PEER_UPDATE_ONLY));

	if (makes) {
		s->exists = true;
		s->n_allowed = 0;
		g->n_peers++;
	}
	if (!s->exists)
		return false;
	if (pc->set & (PEER_REMOVE | PEER_REPLACE_ALLOWED_IPS)) {
		g->n_allowed -= s->n_allowed;
		s->n_allowed = 0;
	}
	if (pc->set & PEER_REMOVE) {
		s->exists = false;
		g->n_peers--;
		return false;
	}
	s->n_allowed += added;
	g->n_allowed += added;
	return makes;
}

int config_plan_make(const struct device_config *config, const struct config_start *start,
		     struct config_plan *out)
{
	const bool replaces = config->set & DEVICE_REPLACE_PEERS;
	struct progress g = {
		.start = start,
		.replaces = replaces,
		.n_peers = replaces ? 0 : start->n_peers,
		.n_allowed = replaces ? 0 : start->n_allowed,
		.room = 2,
	};
	int err = 0;

	*out = (struct config_plan){.max_peers = g.n_peers};
	while (g.room < 2 * config->n_peers)
		g.room *= 2;
	randombytes_buf(g.hash_key, sizeof(g.hash_key));
	g.subjects = calloc(g.room, sizeof(*g.subjects));
	out->makes = calloc(config->n_peers ? config->n_peers : 1, sizeof(*out->makes));
	if (!g.subjects || !out->makes)
		err = -ENOMEM;
	for (size_t i = 0; i < config->n_peers && !err; i++) {
		size_t added = 0;

		err = check_allowed(&config->peers[i], &added);
		if (err)
			break;
		out->makes[i] = follow(&g, &config->peers[i], added);
		out->n_made += out->makes[i];
		if (g.n_peers > out->max_peers)
			out->max_peers = g.n_peers;
		/* The limit is for both families together, although each has its own map. */
		if (g.n_peers > PV_MAX_PEERS || g.n_allowed > PV_MAX_ALLOWED_IPS)
			err = -ENOSPC;
	}
	free(g.subjects);
	if (err)
		config_plan_fini(out);
	return err;
}

void config_plan_fini(struct config_plan *plan)
{
	free(plan->makes);
	*plan = (struct config_plan){.makes = NULL};
}
