/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/setting.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlink/link.h"
#include "plan/settings.h"

#define TEXT(number)	#number
#define AS_TEXT(number) TEXT(number)

/* --- parsing --- */

static int parse_boolean(const struct setting *s, const char *text, void *to)
{
	static const char *const words[][2] = {
		{"true", "false"}, {"1", "0"}, {"yes", "no"}, {"on", "off"}};
	bool *out = to;

	(void)s;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		for (int k = 0; k < 2; k++)
			if (!strcmp(text, words[i][k])) {
				*out = !k;
				return 0;
			}
	return -EINVAL;
}

static bool holds(const struct setting *s, uint64_t number)
{
	return (number >= s->numbers[0].from && number <= s->numbers[0].to) ||
	       (s->numbers[1].to && number >= s->numbers[1].from && number <= s->numbers[1].to);
}

static int parse_number(const struct setting *s, const char *text, void *to)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || !holds(s, number))
		return -EINVAL;
	if (s->size == sizeof(uint8_t))
		*(uint8_t *)to = (uint8_t)number;
	else if (s->size == sizeof(uint16_t))
		*(uint16_t *)to = (uint16_t)number;
	else
		*(uint32_t *)to = (uint32_t)number;
	return 0;
}

/* The unit at the start of `text` ("h", "m", "s" or "ms"), in ms; `len`: its length. 0: no unit. */
static unsigned long unit_ms(const char *text, size_t *len)
{
	static const struct {
		const char *unit;
		unsigned long ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		*len = strlen(units[i].unit);
		if (!strncmp(text, units[i].unit, *len) && !isalpha((unsigned char)text[*len]))
			return units[i].ms;
	}
	return 0;
}

#define LONGEST_MS (UINT16_MAX * 1000UL)

static int parse_duration(const struct setting *s, const char *text, void *to)
{
	const bool bare = strlen(text) == strspn(text, "0123456789");
	unsigned long ms = 0;

	(void)s;
	if (!*text)
		return -EINVAL;
	while (*text) {
		char *end;
		size_t len = 0;
		unsigned long n, unit;

		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		errno = 0;
		n = strtoul(text, &end, 10);
		unit = bare ? 1000 : unit_ms(end, &len);
		if (errno || n > LONGEST_MS || !unit)
			return -EINVAL;
		ms += n * unit;
		if (ms > LONGEST_MS)
			return -EINVAL;
		text = end + len;
	}
	*(uint16_t *)to = (uint16_t)((ms + 999) / 1000);
	return 0;
}

static int parse_interface_name(const struct setting *s, const char *text, void *to)
{
	if (link_name_problem(text))
		return -EINVAL;
	memset(to, 0, s->size);
	strcpy(to, text);
	return 0;
}

/* Removes white space at both ends. */
static char *trim(char *text)
{
	size_t len;

	while (isspace((unsigned char)*text))
		text++;
	for (len = strlen(text); len && isspace((unsigned char)text[len - 1]); len--)
		text[len - 1] = 0;
	return text;
}

static int parse_ranges(const struct setting *s, const char *text, void *to)
{
	struct settings_ranges *out = to;
	char *copy = strdup(text), *rest = copy ? trim(copy) : NULL, *one;
	int err = copy ? 0 : -ENOMEM;

	(void)s;
	memset(out, 0, sizeof(*out));
	if (rest && !*rest)
		rest = NULL; /* the list is empty */
	while (!err && (one = strsep(&rest, ","))) {
		if (out->n == SETTINGS_MAX_RANGES)
			err = -EINVAL;
		else
			err = cidr_parse(trim(one), &out->all[out->n++]);
	}
	free(copy);
	return err;
}

static int parse_wire(const struct setting *s, const char *text, void *to)
{
	(void)s;
	return wire_mode_parse(text, to);
}

static int parse_level(const struct setting *s, const char *text, void *to)
{
	(void)s;
	return log_level_parse(text, to);
}

static int parse_format(const struct setting *s, const char *text, void *to)
{
	(void)s;
	return log_format_parse(text, to);
}

static int parse_source(const struct setting *s, const char *text, void *to)
{
	(void)s;
	return route_source_parse(text, to);
}

/* --- the table --- */

#define CHECK_BOOLEAN	   .form = SETTING_BOOLEAN, .parse = parse_boolean, .words = "true false"
#define CHECK_U8(from, to) .form = SETTING_NUMBER, .parse = parse_number, .numbers = {{from, to}}
#define CHECK_U16	   CHECK_U8
#define CHECK_U32	   CHECK_U8
#define CHECK_U32_GAP(a, b, c, d)                                                                  \
	.form = SETTING_NUMBER, .parse = parse_number, .numbers = {{a, b}, {c, d}}
#define CHECK_DURATION                                                                             \
	.form = SETTING_TEXT, .parse = parse_duration, .what = "a duration from 0s to 65535s",     \
	.pattern = "^([0-9]+(ms|s|m|h)?)+$"
#define CHECK_INTERFACE_NAME                                                                       \
	.form = SETTING_TEXT, .parse = parse_interface_name,                                       \
	.what = "a device name of 1 to 15 characters", .pattern = "^[^/:\\s]{1,15}$"
#define CHECK_RANGES                                                                               \
	.form = SETTING_LIST, .parse = parse_ranges, .most = SETTINGS_MAX_RANGES,                  \
	.what = "up to " AS_TEXT(SETTINGS_MAX_RANGES) " address ranges, separated by commas"
#define CHECK_WIRE   .form = SETTING_WORD, .parse = parse_wire, .words = "auto socket xdp"
#define CHECK_LEVEL  .form = SETTING_WORD, .parse = parse_level, .words = "error warn info debug"
#define CHECK_SOURCE .form = SETTING_WORD, .parse = parse_source, .words = ROUTE_SOURCE_WORDS
#define CHECK_FORMAT .form = SETTING_WORD, .parse = parse_format, .words = "text json"

const struct setting settings_table[SETTINGS_COUNT] = {
#define LINE(member_, name_, type, fallback_, meaning_)                                            \
	{.name = #name_,                                                                           \
	 .fallback = fallback_,                                                                    \
	 .meaning = meaning_,                                                                      \
	 .offset = offsetof(struct settings, member_),                                             \
	 .size = sizeof(((struct settings *)0)->member_),                                          \
	 CHECK_##type},
	SETTINGS_TABLE(LINE)
#undef LINE
};

static const struct setting_pair pairs[] = {
#define PAIR(one_, other_) {&settings_table[SETTING_##one_], &settings_table[SETTING_##other_]},
	SETTINGS_THAT_DIFFER(PAIR)
#undef PAIR
};

const struct setting_pair *setting_pairs(size_t *n)
{
	*n = sizeof(pairs) / sizeof(*pairs);
	return pairs;
}

const struct setting *setting_find(const char *name)
{
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		if (!strcmp(settings_table[i].name, name))
			return &settings_table[i];
	return NULL;
}

int setting_read(const struct setting *s, const char *text, struct settings *out)
{
	return s->parse(s, text, (char *)out + s->offset);
}

/* --- allowed values as text --- */

static void print_words(FILE *f, const char *words)
{
	while (*words) {
		const size_t len = strcspn(words, " ");
		const char *next = words + len + (words[len] == ' ');

		fprintf(f, "%.*s%s", (int)len, words,
			!*next		    ? ""
			: strchr(next, ' ') ? ", "
					    : " or ");
		words = next;
	}
}

static void print_numbers(FILE *f, uint64_t from, uint64_t to)
{
	fprintf(f, "%" PRIu64, from);
	if (to != from)
		fprintf(f, " to %" PRIu64, to);
}

const char *setting_range(const struct setting *s, char out[SETTING_RANGE])
{
	FILE *f = fmemopen(out, SETTING_RANGE, "w");

	*out = 0;
	if (!f)
		return out;
	if (s->words) {
		print_words(f, s->words);
	} else if (s->what) {
		fputs(s->what, f);
	} else {
		print_numbers(f, s->numbers[0].from, s->numbers[0].to);
		if (s->numbers[1].to) {
			fputs(" or ", f);
			print_numbers(f, s->numbers[1].from, s->numbers[1].to);
		}
	}
	fclose(f);
	return out;
}
