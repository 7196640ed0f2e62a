/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One setting of the table (settings_table.h): how to parse it, and how to describe it. Pure; any
 * thread.
 */
#ifndef PLAN_SETTING_H
#define PLAN_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/settings_table.h"

/* The form of the value in JSON. */
enum setting_form { SETTING_BOOLEAN, SETTING_NUMBER, SETTING_WORD, SETTING_TEXT, SETTING_LIST };

struct setting {
	const char *name, *fallback, *meaning; /* fallback: the default as text */
	enum setting_form form;
	/* 0 or -EINVAL. After -EINVAL the content of `to` is undefined. */
	int (*parse)(const struct setting *s, const char *text, void *to);
	struct {
		uint64_t from, to;
	} numbers[2];	     /* a number: one of these intervals; the second: 0 to 0 if unused */
	const char *words;   /* a boolean or word: the allowed words, one space between; or NULL */
	size_t most;	     /* a list: the maximum number of items */
	const char *what;    /* text or list: the allowed values, in words */
	const char *pattern; /* text: a regular expression; it accepts all that parse() accepts */
	size_t offset, size; /* in struct settings */
};

/* The indexes in the table. */
enum {
#define PLACE(member, name, type, fallback, meaning) SETTING_##name,
	SETTINGS_TABLE(PLACE)
#undef PLACE
		SETTINGS_COUNT
};

extern const struct setting settings_table[SETTINGS_COUNT];

/* Pairs of settings that cannot have the same value. */
struct setting_pair {
	const struct setting *one, *other;
};
const struct setting_pair *setting_pairs(size_t *n);

/* NULL: there is no setting with this name. */
const struct setting *setting_find(const char *name);

struct settings;
/* Parses a value into its member of `out`. 0 or -EINVAL. */
int setting_read(const struct setting *s, const char *text, struct settings *out);

/* The allowed values as text: "1 to 65535", "auto, socket or xdp". */
#define SETTING_RANGE 80
const char *setting_range(const struct setting *s, char out[SETTING_RANGE]);

#endif
