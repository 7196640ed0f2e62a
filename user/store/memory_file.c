/* SPDX-License-Identifier: Apache-2.0 */
#include "store/memory_file.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/problem.h"

#define VERSION	     1
#define MAX_SETTINGS 1024
#define N_OVERLAYS   (sizeof(((struct node_record *)0)->overlays) / sizeof(struct cidr))

static const char *const shelf_names[MEMORY_KINDS] = {"nodes", "settings"};

/* --- handling --- */

void memory_free_settings(struct store_setting *all, unsigned int n)
{
	for (unsigned int i = 0; all && i < n; i++) {
		free((char *)(uintptr_t)all[i].name);
		free((char *)(uintptr_t)all[i].value);
	}
	free(all);
}

struct store_setting *memory_copy_settings(const struct store_setting *all, unsigned int n)
{
	struct store_setting *copy = calloc(n ? n : 1, sizeof(*copy));

	for (unsigned int i = 0; copy && i < n; i++) {
		copy[i].name = strdup(all[i].name);
		copy[i].value = strdup(all[i].value);
		if (!copy[i].name || !copy[i].value) {
			memory_free_settings(copy, i + 1);
			return NULL;
		}
	}
	return copy;
}

void memory_entry_free(struct memory_entry *e)
{
	record_fini(&e->record);
	memory_free_settings(e->all, e->n);
	memory_free_settings(e->good, e->n_good);
	free(e->source);
	free(e->name);
	free(e);
}

void memory_content_fini(struct memory_content *c)
{
	struct memory_entry *e;

	while ((e = TAILQ_FIRST(&c->entries))) {
		TAILQ_REMOVE(&c->entries, e, in_list);
		memory_entry_free(e);
	}
}

/* --- parsing --- */

static uint64_t number_of(const json_t *o, const char *member)
{
	const json_t *v = json_object_get(o, member);

	return json_is_integer(v) && json_integer_value(v) > 0 ? (uint64_t)json_integer_value(v)
							       : 0;
}

static int take_origins(const json_t *o, struct memory_content *c, const struct problem *p)
{
	for (int i = 0; i < MEMORY_KINDS; i++) {
		const json_t *s = json_object_get(o, shelf_names[i]);
		const char *identity = json_string_value(json_object_get(s, "identity"));

		if (!identity || strlen(identity) >= MEMORY_IDENTITY)
			return problem_say(p, "%s.identity: not a text below %d bytes",
					   shelf_names[i], MEMORY_IDENTITY);
		strcpy(c->origins[i].identity, identity);
		c->origins[i].revision = number_of(s, "revision");
		c->origins[i].incarnation = number_of(s, "incarnation");
	}
	return 0;
}

/* Reads the members of a record that are not in its own JSON form (record.h). */
static int take_more(const json_t *o, size_t at, struct node_record *r, const struct problem *p)
{
	const json_t *granted = json_object_get(o, "granted"), *v;
	const json_t *overlays = json_object_get(o, "overlays");
	const char *source = json_string_value(json_object_get(o, "routeSource"));
	size_t i;

	r->tunnels_assigned = json_is_true(json_object_get(o, "tunnelsAssigned"));
	r->assigned = json_is_true(json_object_get(o, "assigned"));
	r->encrypts = json_is_true(json_object_get(o, "encrypts"));
	/* A file of an older agent names no source. */
	if (r->tunnels_assigned)
		r->source = ROUTE_SOURCE_CALICO_IPAM;
	if (source && route_source_parse(source, &r->source))
		return problem_say(p, "known[%zu].routeSource: \"%.30s\" is none", at, source);
	if (json_array_size(granted) > RECORD_MAX_CIDRS || json_array_size(overlays) > N_OVERLAYS)
		return problem_say(p, "known[%zu]: too many ranges", at);
	json_array_foreach (overlays, i, v)
		if (json_string_length(v) &&
		    cidr_parse_address(json_string_value(v), &r->overlays[i]))
			return problem_say(p, "known[%zu].overlays[%zu]: not an address", at, i);
	if (!json_array_size(granted))
		return 0;
	r->granted = calloc(json_array_size(granted), sizeof(*r->granted));
	if (!r->granted)
		return -ENOMEM;
	json_array_foreach (granted, i, v) {
		if (!json_is_string(v) || cidr_parse(json_string_value(v), &r->granted[i]))
			return problem_say(p, "known[%zu].granted[%zu]: not an address range", at,
					   i);
		r->n_granted++;
	}
	record_normalise(r);
	return 0;
}

static int take_record(const json_t *o, size_t at, struct memory_entry *e, const struct problem *p)
{
	char wrong[200];
	int err = record_from(json_object_get(o, "record"), &e->record, wrong, sizeof(wrong));

	if (err == -EINVAL)
		return problem_say(p, "known[%zu].record: %.160s", at, wrong);
	if (err)
		return err;
	e->name = strdup(e->record.name);
	return e->name ? take_more(o, at, &e->record, p) : -ENOMEM;
}

static int take_values(const json_t *o, size_t at, struct store_setting **all, unsigned int *n,
		       const struct problem *p)
{
	const char *name;
	json_t *v;

	if (!json_is_object(o) || json_object_size(o) > MAX_SETTINGS)
		return problem_say(p, "known[%zu].settings: not an object of up to %d members", at,
				   MAX_SETTINGS);
	*all = calloc(json_object_size(o) + 1, sizeof(**all));
	if (!*all)
		return -ENOMEM;
	json_object_foreach ((json_t *)(uintptr_t)o, name, v) {
		struct store_setting *s = &(*all)[*n];

		if (!json_is_string(v))
			return problem_say(p, "known[%zu].settings.%.80s: not a string", at, name);
		++*n;
		s->name = strdup(name);
		s->value = strdup(json_string_value(v));
		if (!s->name || !s->value)
			return -ENOMEM;
	}
	return 0;
}

static int take_settings(const json_t *o, size_t at, struct memory_entry *e,
			 const struct problem *p)
{
	const json_t *node = json_object_get(o, "node"), *good = json_object_get(o, "good");
	const char *source = json_string_value(json_object_get(o, "source"));
	const char *whose = node ? json_string_value(node) : "";
	int err;

	if (!source || strlen(source) > 4096 || !whose || strlen(whose) > NODE_NAME_MAX)
		return problem_say(p, "known[%zu]: neither a record nor settings with a source",
				   at);
	e->name = strdup(whose);
	e->source = strdup(source);
	if (!e->name || !e->source)
		return -ENOMEM;
	err = take_values(json_object_get(o, "settings"), at, &e->all, &e->n, p);
	return err || !good ? err : take_values(good, at, &e->good, &e->n_good, p);
}

static int take_entry(const json_t *o, size_t at, struct memory_content *c, const struct problem *p)
{
	const char *why = json_string_value(json_object_get(o, "why"));
	struct memory_entry *e = calloc(1, sizeof(*e));
	int err;

	if (!e)
		return -ENOMEM;
	e->kind = json_object_get(o, "record") ? MEMORY_NODES : MEMORY_SETTINGS;
	e->incarnation = number_of(o, "incarnation");
	snprintf(e->why, sizeof(e->why), "%s", why ? why : "");
	e->lost = *e->why && json_is_true(json_object_get(o, "lost"));
	err = e->kind == MEMORY_NODES ? take_record(o, at, e, p) : take_settings(o, at, e, p);
	if (err)
		memory_entry_free(e);
	else
		TAILQ_INSERT_TAIL(&c->entries, e, in_list);
	return err;
}

int memory_parse(const char *text, size_t len, struct memory_content *out, char *problem,
		 size_t room)
{
	const struct problem p = {problem, room};
	struct memory_content c = {.origins = {{.revision = 0}}};
	const json_t *known, *v;
	json_error_t error;
	json_t *o;
	size_t i;
	int err;

	TAILQ_INIT(&c.entries);
	TAILQ_INIT(&out->entries);
	o = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	known = json_object_get(o, "known");
	if (!json_is_object(o))
		err = problem_say(&p, "line %d: %s", o ? 1 : error.line,
				  o ? "not a JSON object" : error.text);
	else if (number_of(o, "version") != VERSION)
		err = problem_say(&p, "version: not %d", VERSION);
	else if (!json_is_array(known))
		err = problem_say(&p, "known: not a list");
	else
		err = take_origins(o, &c, &p);
	if (!err)
		json_array_foreach (known, i, v) {
			err = take_entry(v, i, &c, &p);
			if (err)
				break;
		}
	json_decref(o);
	if (err) {
		if (err == -ENOMEM)
			problem_say(&p, "no memory");
		memory_content_fini(&c);
		return err;
	}
	memcpy(out->origins, c.origins, sizeof(c.origins));
	TAILQ_CONCAT(&out->entries, &c.entries, in_list);
	return 0;
}

/* --- formatting --- */

static json_t *values_object(const struct store_setting *all, unsigned int n)
{
	json_t *o = json_object();

	for (unsigned int i = 0; i < n; i++)
		json_object_set_new(o, all[i].name, json_string(all[i].value));
	return o;
}

static void put_more(json_t *o, const struct node_record *r)
{
	char text[CIDR_TEXT];
	json_t *list;
	bool any = false;

	if (r->tunnels_assigned)
		json_object_set_new(o, "tunnelsAssigned", json_true());
	if (r->assigned)
		json_object_set_new(o, "assigned", json_true());
	if (r->encrypts)
		json_object_set_new(o, "encrypts", json_true());
	if (r->source)
		json_object_set_new(o, "routeSource", json_string(route_source_name(r->source)));
	if (r->n_granted) {
		list = json_array();
		for (size_t i = 0; i < r->n_granted; i++)
			json_array_append_new(
				list, json_string(cidr_format(&r->granted[i], false, text)));
		json_object_set_new(o, "granted", list);
	}
	list = json_array();
	for (size_t i = 0; i < N_OVERLAYS; i++) {
		const struct cidr *c = &r->overlays[i];

		any |= c->family != 0;
		json_array_append_new(list,
				      json_string(c->family ? cidr_format(c, true, text) : ""));
	}
	if (any)
		json_object_set(o, "overlays", list);
	json_decref(list);
}

/* The source may be a path that is not UTF-8, which JSON requires. */
static json_t *entry_object(const struct memory_entry *e)
{
	json_t *o = json_object(), *source;

	json_object_set_new(o, "incarnation", json_integer((json_int_t)e->incarnation));
	if (*e->why)
		json_object_set_new(o, "why", json_string(e->why));
	if (e->lost)
		json_object_set_new(o, "lost", json_true());
	if (e->kind == MEMORY_NODES) {
		json_object_set_new(o, "record", record_object(&e->record));
		put_more(o, &e->record);
		return o;
	}
	json_object_set_new(o, "settings", values_object(e->all, e->n));
	if (e->good)
		json_object_set_new(o, "good", values_object(e->good, e->n_good));
	source = json_string(e->source);
	json_object_set_new(o, "source", source ? source : json_string("the store"));
	if (*e->name)
		json_object_set_new(o, "node", json_string(e->name));
	return o;
}

char *memory_format(const struct memory_content *c)
{
	json_t *o = json_object(), *known = json_array();
	const struct memory_entry *e;
	char *text;

	json_object_set_new(o, "version", json_integer(VERSION));
	for (int i = 0; i < MEMORY_KINDS; i++)
		json_object_set_new(o, shelf_names[i],
				    json_pack("{s:s, s:I, s:I}", "identity", c->origins[i].identity,
					      "revision", (json_int_t)c->origins[i].revision,
					      "incarnation",
					      (json_int_t)c->origins[i].incarnation));
	TAILQ_FOREACH (e, &c->entries, in_list)
		json_array_append_new(known, entry_object(e));
	json_object_set_new(o, "known", known);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}
