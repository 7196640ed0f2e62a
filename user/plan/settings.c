/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* One text for each setting; NULL: not set. */
struct values {
	char *text[SETTINGS_COUNT];
};

/* The valid values of one layer. */
struct layer {
	struct values values;
	struct values fresh; /* between begin and end */
	bool refused[SETTINGS_COUNT];
	char source[256];
	char *problem; /* the first refusal; NULL: none */
};

struct settings_stack {
	struct layer layers[SETTINGS_LAYERS];
	enum settings_layer open;
	struct settings now;
};

static void values_fini(struct values *v)
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		free(v->text[i]);
		v->text[i] = NULL;
	}
}

/* --- layers --- */

/* The text of the highest layer that has this setting. `from` (may be NULL): that layer. */
static const char *text_in_force(const struct settings_stack *s, size_t setting,
				 enum settings_layer *from)
{
	int layer = SETTINGS_FLAG;

	while (layer > SETTINGS_DEFAULT && !s->layers[layer].values.text[setting])
		layer--;
	if (from)
		*from = (enum settings_layer)layer;
	return s->layers[layer].values.text[setting];
}

/* Combines all layers. Each value in a layer was checked when it was set. */
static struct settings merge(const struct settings_stack *s)
{
	struct settings out;

	memset(&out, 0, sizeof(out));
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		setting_read(&settings_table[i], text_in_force(s, i, NULL), &out);
	return out;
}

static bool same(const struct settings *s, const struct setting_pair *p)
{
	const char *all = (const char *)s;

	return !memcmp(all + p->one->offset, all + p->other->offset, p->one->size);
}

/* Two settings that must differ but are the same: combined layers can cause that. NULL: none. */
static const struct setting_pair *contradiction(const struct settings *s)
{
	size_t n;
	const struct setting_pair *pairs = setting_pairs(&n);

	for (size_t i = 0; i < n; i++)
		if (same(s, &pairs[i]))
			return &pairs[i];
	return NULL;
}

struct settings_stack *settings_new(void)
{
	struct settings_stack *s = calloc(1, sizeof(*s));
	struct values *defaults = s ? &s->layers[SETTINGS_DEFAULT].values : NULL;

	if (!s)
		return NULL;
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		defaults->text[i] = strdup(settings_table[i].fallback);
		if (!defaults->text[i]) {
			settings_free(s);
			return NULL;
		}
	}
	s->now = merge(s);
	return s;
}

void settings_free(struct settings_stack *s)
{
	if (!s)
		return;
	for (size_t l = 0; l < SETTINGS_LAYERS; l++) {
		values_fini(&s->layers[l].values);
		values_fini(&s->layers[l].fresh);
		free(s->layers[l].problem);
	}
	free(s);
}

static void refuse(struct layer *l, const char *field, const char *value, const char *needs,
		   const char *kept)
{
	log_error("setting refused", "source=%s field=%s value=\"%.100s\" needs=\"%s\" kept=\"%s\"",
		  l->source, field, value, needs, kept);
	if (l->problem)
		return;
	if (asprintf(&l->problem, "%s: %s: \"%.100s\" is not %s", l->source, field, value, needs) <
	    0)
		l->problem = NULL;
}

void settings_layer_begin(struct settings_stack *s, enum settings_layer layer, const char *source)
{
	struct layer *l = &s->layers[layer];

	s->open = layer;
	snprintf(l->source, sizeof(l->source), "%s", source);
	free(l->problem);
	l->problem = NULL;
	values_fini(&l->fresh);
	memset(l->refused, 0, sizeof(l->refused));
}

int settings_layer_set(struct settings_stack *s, const char *name, const char *value)
{
	struct layer *l = &s->layers[s->open];
	const struct setting *setting = setting_find(name);
	const size_t i = setting ? (size_t)(setting - settings_table) : 0;
	char range[SETTING_RANGE];
	struct settings scratch;

	if (!setting)
		return -ENOENT;
	if (setting_read(setting, value, &scratch)) {
		l->refused[i] = true;
		refuse(l, name, value, setting_range(setting, range),
		       l->values.text[i] ? l->values.text[i] : text_in_force(s, i, NULL));
		return -EINVAL;
	}
	free(l->fresh.text[i]);
	l->fresh.text[i] = strdup(value);
	return l->fresh.text[i] ? 0 : -ENOMEM;
}

/* Names the setting that this layer has set: only there the two can be made different. */
static void refuse_pair(const struct settings_stack *s, struct layer *l,
			const struct setting_pair *pair)
{
	const bool swap = !l->values.text[pair->one - settings_table];
	const struct setting *set = swap ? pair->other : pair->one;
	const struct setting *other = swap ? pair->one : pair->other;
	char needs[128];

	snprintf(needs, sizeof(needs), "different from %s", other->name);
	refuse(l, set->name, text_in_force(s, (size_t)(set - settings_table), NULL), needs,
	       "the settings before");
}

/* For each refused value, keeps the last valid one. */
static void keep_last_good(struct layer *l)
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		if (l->refused[i] && !l->fresh.text[i] && l->values.text[i])
			l->fresh.text[i] = strdup(l->values.text[i]);
}

bool settings_layer_end(struct settings_stack *s)
{
	struct layer *l = &s->layers[s->open];
	const struct settings before = s->now;
	const struct setting_pair *pair;
	struct values old = l->values;

	keep_last_good(l);
	l->values = l->fresh;
	s->now = merge(s);
	pair = contradiction(&s->now);
	if (pair) {
		refuse_pair(s, l, pair);
		l->values = old;
		old = l->fresh;
		s->now = before;
	}
	memset(&l->fresh, 0, sizeof(l->fresh));
	values_fini(&old);
	return memcmp(&before, &s->now, sizeof(before)) != 0;
}

void settings_layer_each(const struct settings_stack *s, enum settings_layer layer,
			 void (*value)(void *context, const char *name, const char *value),
			 void *context)
{
	const struct values *v = &s->layers[layer].values;

	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		if (v->text[i])
			value(context, settings_table[i].name, v->text[i]);
}

bool settings_layer_refused(const struct settings_stack *s, enum settings_layer layer)
{
	return s->layers[layer].problem != NULL;
}

/* PODVEIL_WIREGUARDENABLED. Names that begin with podveil do not repeat it: PODVEIL_STRICTMODE. */
static bool is_variable(const char *variable, size_t len, const char *name)
{
	static const char prefix[] = "PODVEIL_";

	if (len <= strlen(prefix) || strncmp(variable, prefix, strlen(prefix)))
		return false;
	variable += strlen(prefix);
	len -= strlen(prefix);
	if (strlen(name) == len && !strncasecmp(variable, name, len))
		return true;
	return !strncmp(name, "podveil", 7) && strlen(name + 7) == len &&
	       !strncasecmp(variable, name + 7, len);
}

bool settings_environment(struct settings_stack *s, char **environment)
{
	settings_layer_begin(s, SETTINGS_ENVIRONMENT, "environment");
	for (; *environment; environment++) {
		const char *equals = strchr(*environment, '=');

		for (size_t i = 0; equals && i < SETTINGS_COUNT; i++)
			if (is_variable(*environment, (size_t)(equals - *environment),
					settings_table[i].name))
				settings_layer_set(s, settings_table[i].name, equals + 1);
	}
	return settings_layer_end(s);
}

const struct settings *settings_get(const struct settings_stack *s)
{
	return &s->now;
}

const char *settings_refused(const struct settings_stack *s)
{
	for (size_t l = 0; l < SETTINGS_LAYERS; l++)
		if (s->layers[l].problem)
			return s->layers[l].problem;
	return NULL;
}

const char *settings_text(const struct settings_stack *s, const char *name,
			  enum settings_layer *from)
{
	const struct setting *setting = setting_find(name);

	return setting ? text_in_force(s, (size_t)(setting - settings_table), from) : NULL;
}
