/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/yaml.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#define MAX_DEPTH 32

struct reader {
	yaml_parser_t parser;
	char *problem;
	size_t room;
};

static json_t *fail(struct reader *r, const char *what, const yaml_mark_t *where)
{
	if (!*r->problem)
		snprintf(r->problem, r->room, "line %zu: %s", where->line + 1, what);
	return NULL;
}

static bool next(struct reader *r, yaml_event_t *e)
{
	if (yaml_parser_parse(&r->parser, e))
		return true;
	fail(r, r->parser.problem ? r->parser.problem : "not YAML", &r->parser.problem_mark);
	return false;
}

static json_t *scalar(const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;

	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		if (!*text || !strcmp(text, "null") || !strcmp(text, "~"))
			return json_null();
		if (!strcmp(text, "true") || !strcmp(text, "false"))
			return json_boolean(*text == 't');
	}
	return json_stringn(text, e->data.scalar.length);
}

static json_t *value(struct reader *r, const yaml_event_t *e, unsigned int depth);

static json_t *sequence(struct reader *r, unsigned int depth)
{
	json_t *list = json_array();

	for (;;) {
		yaml_event_t e;
		json_t *v;
		bool end;

		if (!next(r, &e))
			break;
		end = e.type == YAML_SEQUENCE_END_EVENT;
		v = end ? NULL : value(r, &e, depth);
		yaml_event_delete(&e);
		if (end)
			return list;
		if (!v || json_array_append_new(list, v))
			break;
	}
	json_decref(list);
	return NULL;
}

static json_t *mapping(struct reader *r, unsigned int depth)
{
	json_t *o = json_object();

	for (;;) {
		yaml_event_t key, e;
		json_t *v = NULL;
		bool end, good;

		if (!next(r, &key))
			break;
		end = key.type == YAML_MAPPING_END_EVENT;
		good = key.type == YAML_SCALAR_EVENT;
		if (!end && !good)
			fail(r, "a key that is not text", &key.start_mark);
		if (good && next(r, &e)) {
			v = value(r, &e, depth);
			yaml_event_delete(&e);
		}
		good = v && !json_object_set_new(o, (const char *)key.data.scalar.value, v);
		yaml_event_delete(&key);
		if (end)
			return o;
		if (!good) {
			fail(r, "a key that is not UTF-8", &r->parser.mark);
			break;
		}
	}
	json_decref(o);
	return NULL;
}

static json_t *value(struct reader *r, const yaml_event_t *e, unsigned int depth)
{
	json_t *v;

	switch (e->type) {
	case YAML_SCALAR_EVENT:
		v = scalar(e);
		return v ? v : fail(r, "text that is not UTF-8", &e->start_mark);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		if (depth == MAX_DEPTH)
			return fail(r, "nested too deeply", &e->start_mark);
		return e->type == YAML_MAPPING_START_EVENT ? mapping(r, depth + 1)
							   : sequence(r, depth + 1);
	case YAML_ALIAS_EVENT:
		return fail(r, "aliases are not supported", &e->start_mark);
	default:
		return fail(r, "empty", &e->start_mark);
	}
}

json_t *yaml_parse(const char *text, size_t len, char *problem, size_t room)
{
	struct reader r = {.problem = problem, .room = room};
	json_t *v = NULL;
	yaml_event_t e;

	*problem = 0;
	if (!yaml_parser_initialize(&r.parser)) {
		snprintf(problem, room, "no memory");
		return NULL;
	}
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	while (next(&r, &e)) {
		const bool opens =
			e.type == YAML_STREAM_START_EVENT || e.type == YAML_DOCUMENT_START_EVENT;

		if (!opens)
			v = value(&r, &e, 0);
		yaml_event_delete(&e);
		if (!opens)
			break;
	}
	yaml_parser_delete(&r.parser);
	return v;
}
