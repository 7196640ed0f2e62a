/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/memory.h"

struct store {
	const struct store_kind *kind;
	void *self;
	char *name;
	struct store_events events;
	struct store_health health;
	struct memory *memory;
	struct store_place place;
};

static const struct store_kind *const kinds[] = {&store_directory, &store_kubernetes, &store_etcd};

static const struct store_kind *kind_of(const char *url)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strncmp(url, kinds[i]->prefix, strlen(kinds[i]->prefix)))
			return kinds[i];
	return NULL;
}

const char *store_default(void)
{
	const char *named = getenv("PODVEIL_STORE");

	return named && *named ? named : STORE_DEFAULT;
}

char *store_with_resource(const char *url, const char *resource)
{
	char *whole;

	if (!resource)
		resource = getenv("PODVEIL_CONFIG_RESOURCE");
	if (!resource || !*resource || strcmp(url, store_kubernetes.prefix) != 0)
		return strdup(url);
	return asprintf(&whole, "%s:%s", url, resource) < 0 ? NULL : whole;
}

static void on_synced(void *context)
{
	struct store *s = context;

	s->events.synced(s->events.context);
}

int store_open(const struct store_params *p, struct store **out)
{
	const struct store_kind *kind = kind_of(p->url);
	struct memory_params mp = {.base = p->base, .path = p->memory, .self = p->node};
	struct store *s;
	int err = -ENOMEM;

	if (!kind) {
		log_error("no such kind of store",
			  "store=%s needs=\"dir:PATH, kubernetes or etcd:https://HOST:PORT\"",
			  p->url);
		return -EINVAL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->kind = kind;
	s->events = p->events;
	s->name = strdup(p->url);
	mp.events = &s->events;
	mp.health = &s->health;
	if (s->name)
		err = memory_new(&mp, &s->memory);
	if (!err) {
		s->place = (struct store_place){
			.base = p->base,
			.memory = s->memory,
			.health = &s->health,
			.node = p->node,
			.synced = on_synced,
			.context = s,
		};
		err = kind->open(p->url + strlen(kind->prefix), &s->place, &s->self);
	}
	if (err)
		store_close(s);
	else
		*out = s;
	return err;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->self)
		s->kind->close(s->self);
	memory_free(s->memory);
	health_fini(&s->health);
	free(s->name);
	free(s);
}

size_t store_replay_memory(struct store *s)
{
	return memory_replay(s->memory);
}

void store_good_settings(struct store *s, const char *node, const struct store_setting *all,
			 unsigned int n)
{
	memory_good_settings(s->memory, node, all, n);
}

int store_publish(struct store *s, const struct node_record *r)
{
	return s->kind->publish(s->self, r);
}

void store_key_owners(struct store *s, enum store_key v4, enum store_key v6)
{
	if (s->kind->key_owners)
		s->kind->key_owners(s->self, v4, v6);
}

void store_set_route_source(struct store *s, enum route_source wanted)
{
	if (s->kind->route_source)
		s->kind->route_source(s->self, wanted);
}

int store_set(struct store *s, const char *node, const struct store_setting *changes,
	      unsigned int n)
{
	return s->kind->set(s->self, node, changes, n);
}

void store_set_state(struct store *s, const struct store_state *state)
{
	if (s->kind->state)
		s->kind->state(s->self, state);
}

void store_event(struct store *s, const char *reason, const char *message)
{
	if (s->kind->event)
		s->kind->event(s->self, reason, message);
}

void store_flush(struct store *s, unsigned int ms)
{
	if (s->kind->flush)
		s->kind->flush(s->self, ms);
}

bool store_is_remote(const struct store *s)
{
	return s->kind->remote;
}

const struct store_health *store_health(const struct store *s)
{
	return &s->health;
}

bool store_has_record(const struct store *s, const char *node)
{
	return memory_in_store(s->memory, MEMORY_NODES, node);
}

struct held_reader {
	void (*held)(void *context, bool settings, const char *name, const char *why);
	void *context;
};

static void visit_entry(void *context, const struct memory_entry *e)
{
	const struct held_reader *r = context;

	if (*e->why)
		r->held(r->context, e->kind == MEMORY_SETTINGS, *e->name ? e->name : NULL, e->why);
}

void store_each_held(const struct store *s,
		     void (*held)(void *context, bool settings, const char *name, const char *why),
		     void *context)
{
	struct held_reader r = {held, context};

	memory_each(s->memory, visit_entry, &r);
}

const char *store_peer(const struct store *s)
{
	return s->kind->peer ? s->kind->peer(s->self) : "";
}

const char *store_name(const struct store *s)
{
	return s->name;
}
