/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings as JSON, which every kind of store has them in: one flat object, names to values. Pure.
 */
#ifndef STORE_SETTINGS_JSON_H
#define STORE_SETTINGS_JSON_H

#include <jansson.h>

#include "store/store.h"

struct memory;

/* Tells the memory of the settings in object `o` (NULL: there are none) for a node, or the cluster
 * (NULL). Numbers, booleans and lists become text; what is no setting's value (an object) is told
 * as it is, to be refused by name. `source` as in struct store_events. */
void settings_json_remember(struct memory *m, const char *node, const json_t *o,
			    const char *source);

/* Which node a document of this name is for: "default" *node NULL, "node.NAME" NAME, within `name`.
 * False: neither. */
bool settings_json_node(const char *name, const char **node);

/* "default" or "node.NAME". Allocated; NULL: no memory. */
char *settings_json_name(const char *node);

/* A setting's text as JSON has it: true and 51820 as they are, the rest as text.
 * A new reference. */
json_t *settings_json_value(const struct store_setting *s);

/* Writes changes into object `o`: those without a value remove theirs. */
void settings_json_change(json_t *o, const struct store_setting *changes, unsigned int n);

#endif
