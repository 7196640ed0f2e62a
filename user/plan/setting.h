/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One setting, as the table has it (settings_table.h): how it is read, and what may be said of it. Pure;
 * any thread.
 */
#ifndef PLAN_SETTING_H
#define PLAN_SETTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/settings_table.h"

/* How it is written in JSON. */
enum setting_form { SETTING_BOOLEAN, SETTING_NUMBER, SETTING_WORD, SETTING_TEXT, SETTING_LIST };

struct setting {
	const char *name, *fallback, *meaning; /* fallback: the default as text */
	enum setting_form form;
	/* -EINVAL: refused, and `to` is as it was or anything else. */
	int (*parse)(const struct setting *s, const char *text, void *to);
	struct {
		uint64_t from, to;
	} numbers[2];	     /* a number: one of these intervals; the second may be 0 to 0, none */
	const char *words;   /* a boolean or word: all that there are, one blank between; or NULL */
	size_t most;	     /* a list: so many at most */
	const char *what;    /* text or list: what it may be, in words */
	const char *pattern; /* text: a regular expression that is no stricter than parse() */
	size_t offset, size; /* in struct settings */
};

/* The places in the table. */
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

/* NULL: there is none of that name. */
const struct setting *setting_find(const char *name);

struct settings;
/* Reads a value into its member of `out`. -EINVAL: refused. */
int setting_read(const struct setting *s, const char *text, struct settings *out);

/* What it may be: "1 to 65535", "auto, socket or xdp". */
#define SETTING_RANGE 80
const char *setting_range(const struct setting *s, char out[SETTING_RANGE]);

#endif
