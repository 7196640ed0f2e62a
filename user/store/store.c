/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "observe/log.h"

struct store {
	const struct store_kind *kind;
	void *self;
	char *name;
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

int store_open(const char *url, struct event_base *base, const struct store_events *events,
	       struct store **out)
{
	const struct store_kind *kind = kind_of(url);
	struct store *s;
	int err;

	if (!kind) {
		log_error("no such kind of store",
			  "store=%s needs=\"dir:PATH, kubernetes or etcd:https://HOST:PORT\"", url);
		return -EINVAL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->kind = kind;
	s->name = strdup(url);
	err = s->name ? kind->open(url + strlen(kind->prefix), base, events, &s->self) : -ENOMEM;
	if (err) {
		free(s->name);
		free(s);
		return err;
	}
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	s->kind->close(s->self);
	free(s->name);
	free(s);
}

int store_publish(struct store *s, const struct node_record *r)
{
	return s->kind->publish(s->self, r);
}

void store_foreign_keys(struct store *s, bool v4, bool v6)
{
	if (s->kind->foreign_keys)
		s->kind->foreign_keys(s->self, v4, v6);
}

int store_withdraw(struct store *s, const char *name)
{
	return s->kind->withdraw(s->self, name);
}

int store_set(struct store *s, const char *node, const struct store_setting *changes,
	      unsigned int n)
{
	return s->kind->set(s->self, node, changes, n);
}

void store_state(struct store *s, const struct store_state *state)
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
	return s->kind->health(s->self);
}

const char *store_peer(const struct store *s)
{
	return s->kind->peer ? s->kind->peer(s->self) : "";
}

const char *store_name(const struct store *s)
{
	return s->name;
}
