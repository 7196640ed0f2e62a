/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of settings_table.h, with Calico's names, defaults and units, out of five layers: a
 * later one wins. Each layer is judged on its own when it is given; a value that is refused leaves the layer as it was.
 * Pure but for the log; the control thread's.
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

/* One member a line of the table: enabled4, interface4, port4, and so on. */
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

/* Begins a layer anew: what it held is forgotten when settings_layer_end() comes, but for those
 * values that are refused in between: of these the last valid one stays. Then give each setting. */
void settings_layer_begin(struct settings_stack *s, enum settings_layer layer, const char *source);
/* 0; -ENOENT for a name that is no setting (ignored); -EINVAL: refused, with a line logged that
 * names source, field, value and allowed range, and the same in settings_refused(). */
int settings_layer_set(struct settings_stack *s, const char *name, const char *value);
/* Returns whether settings_get() differs from before. Combinations that cannot work (the same
 * interface name or the same port twice) are refused as a whole, and the last valid layer stays. */
bool settings_layer_end(struct settings_stack *s);
/* Each value that a layer holds, by name. */
void settings_layer_each(const struct settings_stack *s, enum settings_layer layer,
			 void (*value)(void *context, const char *name, const char *value),
			 void *context);
/* A value of this layer is refused. */
bool settings_layer_refused(const struct settings_stack *s, enum settings_layer layer);
/* All PODVEIL_ variables of the environment: PODVEIL_WIREGUARDENABLED=true. */
bool settings_environment(struct settings_stack *s, char **environment);

/* What is in force. */
const struct settings *settings_get(const struct settings_stack *s);
/* The refusal that is in force in any layer, as one line; NULL: none. */
const char *settings_refused(const struct settings_stack *s);

/* The value in force as text, the stack's own, and the layer that it is from (may be NULL). NULL: no
 * setting has that name. */
const char *settings_text(const struct settings_stack *s, const char *name,
			  enum settings_layer *from);

#endif
