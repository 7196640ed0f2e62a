/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of settings_table.h, with Calico's names, defaults and units. They come from five
 * layers; a later layer wins. Each value is checked when it is set; a refused value does not
 * replace the old one. Pure, except for the log. Thread: control.
 */
#ifndef PLAN_SETTINGS_H
#define PLAN_SETTINGS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "base/log.h"
#include "plan/setting.h"
#include "store/route_source.h"
#include "wire/wire_mode.h"

#define SETTINGS_MAX_RANGES 64

typedef char interface_name[IF_NAMESIZE];

struct settings_ranges {
	struct cidr all[SETTINGS_MAX_RANGES];
	size_t n;
};

#define TYPE_BOOLEAN	    bool
#define TYPE_U8(...)	    uint8_t
#define TYPE_U16(...)	    uint16_t
#define TYPE_U32(...)	    uint32_t
#define TYPE_U32_GAP(...)   uint32_t
#define TYPE_DURATION	    uint16_t
#define TYPE_INTERFACE_NAME interface_name
#define TYPE_RANGES	    struct settings_ranges
#define TYPE_WIRE	    enum wire_mode
#define TYPE_LEVEL	    enum log_level
#define TYPE_FORMAT	    enum log_format
#define TYPE_SOURCE	    enum route_source

/* One member for each line of the table: enabled4, interface4, port4, and so on. */
struct settings {
#define MEMBER(member, name, type, fallback, meaning) TYPE_##type member;
	SETTINGS_TABLE(MEMBER)
#undef MEMBER
};

enum settings_layer {
	SETTINGS_DEFAULT,
	SETTINGS_CLUSTER,
	SETTINGS_NODE,
	SETTINGS_ENVIRONMENT,
	SETTINGS_FLAG,
	SETTINGS_LAYERS
};

struct settings_stack;

struct settings_stack *settings_new(void); /* with the defaults; NULL: no memory */
void settings_free(struct settings_stack *s);

/* Starts to replace the values of a layer. Then set each value, and call settings_layer_end(). Old
 * values are dropped then; only if a setting's new value was refused, its last valid value
 * stays. */
void settings_layer_begin(struct settings_stack *s, enum settings_layer layer, const char *source);
/* 0; -ENOENT: there is no such setting (ignored); -EINVAL: refused. A refusal is logged with
 * source, field, value and allowed range, and settings_refused() returns it. */
int settings_layer_set(struct settings_stack *s, const char *name, const char *value);
/* Returns true if settings_get() has changed. If two settings that must differ are the same
 * (interface names, ports), the whole layer is refused, and its last valid values stay. */
bool settings_layer_end(struct settings_stack *s);
/* Calls back for each value of a layer. */
void settings_layer_each(const struct settings_stack *s, enum settings_layer layer,
			 void (*value)(void *context, const char *name, const char *value),
			 void *context);
/* Was a value of this layer refused? */
bool settings_layer_refused(const struct settings_stack *s, enum settings_layer layer);
/* Reads all PODVEIL_ variables, such as PODVEIL_WIREGUARDENABLED=true. Returns true if
 * settings_get() has changed. */
bool settings_environment(struct settings_stack *s, char **environment);

/* The settings in force. */
const struct settings *settings_get(const struct settings_stack *s);
/* The first refusal of the lowest layer that has one, as one line. NULL: there is none. */
const char *settings_refused(const struct settings_stack *s);

/* The value in force as text (owned by the stack). `from`: the layer that it comes from (may be
 * NULL). NULL: there is no such setting. */
const char *settings_text(const struct settings_stack *s, const char *name,
			  enum settings_layer *from);

#endif
