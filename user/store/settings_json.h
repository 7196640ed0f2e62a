/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings as JSON, the form that every kind of store uses: one flat object, names to values. Pure.
 */
#ifndef STORE_SETTINGS_JSON_H
#define STORE_SETTINGS_JSON_H

#include <jansson.h>

#include "store/store.h"

struct memory;

/* Reports the settings in object `o` (NULL: there are none) of a node, or the cluster (NULL), to
 * the memory. Numbers, booleans and lists become text. A value that no setting can have (an object)
 * is reported as its JSON text, so that it is refused with its name. `source` as in struct
 * store_events. */
void settings_json_remember(struct memory *m, const char *node, const json_t *o,
			    const char *source);

/* The node of the document `name`. "default": *node is NULL; "node.NAME": *node points to NAME
 * within `name`. False: another name. */
bool settings_json_node(const char *name, const char **node);

/* "default" or "node.NAME". Allocated; NULL: no memory. */
char *settings_json_name(const char *node);

/* A setting's value as JSON: booleans and numbers like true and 51820 as such, the rest as text. A
 * new reference. */
json_t *settings_json_value(const struct store_setting *s);

/* Writes changes into object `o`. A change without a value removes its setting. */
void settings_json_change(json_t *o, const struct store_setting *changes, unsigned int n);

#endif
