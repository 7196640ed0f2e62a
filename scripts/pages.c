/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills parts of pages, of the resource definition and of the chart from tables in the code. Two marker lines
 * enclose such a part in a file; they may be in any comment syntax:
 *
 *   <!-- make docs: begin settings, from user/plan/settings_table.h -->
 *   <!-- make docs: end -->
 *
 *   pages FILE...           writes the parts again
 *   pages --check FILE...   exits with 1 if a part differs from its table
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/counters.h"
#include "base/files.h"
#include "confine/confine.h"
#include "confine/tables.h"
#include "plan/setting.h"

#define BEGIN "make docs: begin "
#define END   "make docs: end"

/* --- settings --- */

static const char *fallback(const struct setting *s)
{
	return *s->fallback ? s->fallback : "none";
}

static void settings(FILE *f)
{
	char range[SETTING_RANGE];

	fputs("| setting | meaning | values | default |\n|---|---|---|---|\n", f);
	for (const struct setting *s = settings_table; s < settings_table + SETTINGS_COUNT; s++)
		fprintf(f, "| `%s` | %s | %s | %s |\n", s->name, s->meaning,
			setting_range(s, range), fallback(s));
}

/* --- the resource definition --- */

#define RULE   "                "
#define MEMBER "                "
#define DETAIL MEMBER "  "

/* Writes a default as a literal of the rules' language. */
static void literal(FILE *f, const struct setting *s)
{
	fprintf(f, s->form == SETTING_NUMBER || s->form == SETTING_BOOLEAN ? "%s" : "'%s'",
		s->fallback);
}

static void or_default(FILE *f, const struct setting *s)
{
	fprintf(f, "(has(self.%s) ? self.%s : ", s->name, s->name);
	literal(f, s);
	fputs(")", f);
}

static void schema_rules(FILE *f)
{
	char range[SETTING_RANGE];
	size_t n;
	const struct setting_pair *pairs = setting_pairs(&n);

	for (const struct setting *s = settings_table; s < settings_table + SETTINGS_COUNT; s++)
		if (s->form == SETTING_NUMBER && s->numbers[1].to)
			fprintf(f,
				RULE
				"- rule: \"!has(self.%s) || self.%s <= %llu || self.%s >= %llu\"\n" RULE
				"  message: %s must be %s\n",
				s->name, s->name, (unsigned long long)s->numbers[0].to, s->name,
				(unsigned long long)s->numbers[1].from, s->name,
				setting_range(s, range));
	for (size_t i = 0; i < n; i++) {
		fputs(RULE "- rule: \"", f);
		or_default(f, pairs[i].one);
		fputs(" != ", f);
		or_default(f, pairs[i].other);
		fprintf(f, "\"\n" RULE "  message: %s and %s must differ\n", pairs[i].one->name,
			pairs[i].other->name);
	}
}

static void schema_words(FILE *f, const char *words)
{
	fputs(DETAIL "type: string\n" DETAIL "enum: [", f);
	for (; *words; words++)
		if (*words == ' ')
			fputs(", ", f);
		else
			fputc(*words, f);
	fputs("]\n", f);
}

static void schema_members(FILE *f)
{
	for (const struct setting *s = settings_table; s < settings_table + SETTINGS_COUNT; s++) {
		fprintf(f, MEMBER "%s:\n", s->name);
		switch (s->form) {
		case SETTING_BOOLEAN:
			fputs(DETAIL "type: boolean\n", f);
			break;
		case SETTING_NUMBER:
			fprintf(f,
				DETAIL "type: integer\n" DETAIL "minimum: %llu\n" DETAIL
				       "maximum: %llu\n",
				(unsigned long long)s->numbers[0].from,
				(unsigned long long)s->numbers[!!s->numbers[1].to].to);
			break;
		case SETTING_WORD:
			schema_words(f, s->words);
			break;
		case SETTING_TEXT:
			fprintf(f,
				DETAIL "type: string\n" DETAIL "pattern: '%s'\n" DETAIL
				       "maxLength: 32\n",
				s->pattern);
			break;
		case SETTING_LIST:
			fprintf(f,
				DETAIL "type: array\n" DETAIL "maxItems: %zu\n" DETAIL
				       "items: {type: string, maxLength: 64}\n",
				s->most);
			break;
		}
		fprintf(f, DETAIL "description: \"%c%s. Default %s.\"\n", *s->meaning & ~0x20,
			s->meaning + 1, fallback(s));
	}
}

/* --- the chart --- */

/* Writes a text as JSON does. */
static void quoted(FILE *f, const char *text)
{
	fputc('"', f);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', f);
		fputc(*text, f);
	}
	fputc('"', f);
}

static void chart_range(FILE *f, const struct setting *s, size_t i)
{
	fprintf(f, "\"minimum\": %llu, \"maximum\": %llu", (unsigned long long)s->numbers[i].from,
		(unsigned long long)s->numbers[i].to);
}

static void chart_words(FILE *f, const char *words)
{
	fputs("\"enum\": [\"", f);
	for (; *words; words++)
		if (*words == ' ')
			fputs("\", \"", f);
		else
			fputc(*words, f);
	fputs("\"]", f);
}

static void chart_type(FILE *f, const struct setting *s)
{
	switch (s->form) {
	case SETTING_BOOLEAN:
		fputs("\"type\": \"boolean\"", f);
		break;
	case SETTING_NUMBER:
		fputs("\"type\": \"integer\", ", f);
		if (!s->numbers[1].to) {
			chart_range(f, s, 0);
			break;
		}
		fputs("\"anyOf\": [{", f);
		chart_range(f, s, 0);
		fputs("}, {", f);
		chart_range(f, s, 1);
		fputs("}]", f);
		break;
	case SETTING_WORD:
		chart_words(f, s->words);
		break;
	case SETTING_TEXT:
		fputs("\"type\": \"string\", \"maxLength\": 32, \"pattern\": ", f);
		quoted(f, s->pattern);
		break;
	case SETTING_LIST:
		fprintf(f, "\"type\": \"array\", \"maxItems\": %zu, ", s->most);
		fputs("\"items\": {\"type\": \"string\", \"maxLength\": 64}", f);
		break;
	}
}

static void chart_schema(FILE *f)
{
	fputs("      \"properties\": {\n", f);
	for (const struct setting *s = settings_table; s < settings_table + SETTINGS_COUNT; s++) {
		fprintf(f, "        \"%s\": {", s->name);
		chart_type(f, s);
		fputs(", \"description\": ", f);
		quoted(f, s->meaning);
		fputs(s + 1 < settings_table + SETTINGS_COUNT ? "},\n" : "}\n", f);
	}
	fputs("      },\n", f);
}

static void chart_values(FILE *f)
{
	for (const struct setting *s = settings_table; s < settings_table + SETTINGS_COUNT; s++)
		fprintf(f, "  # %s: %s # %s\n", s->name,
			s->form == SETTING_LIST ? "[]" : s->fallback, s->meaning);
}

/* --- counters --- */

static void drops(FILE *f)
{
	size_t n;
	const struct counter_field *fields = counters_drops(&n);

	fputs("| reason | what was dropped |\n|---|---|\n", f);
	for (size_t i = 0; i < n; i++)
		fprintf(f, "| `%s` | %s |\n", counter_reason(&fields[i]), fields[i].help);
}

static void counter_rows(FILE *f, const struct counter_field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(f, "| `%s` | %s |\n", fields[i].name, fields[i].help);
}

static void counters(FILE *f)
{
	size_t n;
	const struct counter_field *fields = counters_traffic(&n);

	fputs("| counter | what it counts |\n|---|---|\n", f);
	counter_rows(f, fields, n);
	fields = counters_worker(&n);
	counter_rows(f, fields, n);
	fields = counters_seen(&n);
	counter_rows(f, fields, n);
}

/* --- rights --- */

static void processes(FILE *f, unsigned int who)
{
	static const struct {
		unsigned int bit;
		const char *name;
	} all[] = {{CONFINE_DEVICE, "device"},
		   {CONFINE_TUNNEL, "tunnel"},
		   {CONFINE_MAKER, "maker"},
		   {CONFINE_AGENT, "agent"}};
	const char *between = "";

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (!(who & all[i].bit))
			continue;
		fprintf(f, "%s%s", between, all[i].name);
		between = ", ";
	}
}

static void capability_rows(FILE *f)
{
	fputs("| capability | process | for |\n|---|---|---|\n", f);
	for (size_t i = 0; i < confine_capabilities_count; i++) {
		const struct confine_capability *c = &confine_capabilities[i];

		fprintf(f, "| `CAP_%s` | ", c->name);
		processes(f, c->who);
		fprintf(f, " | %s%s |\n", c->who & AT_START ? "at the start only: " : "",
			c->purpose);
	}
}

static void call_rows(FILE *f)
{
	fputs("| for | process | system calls |\n|---|---|---|\n", f);
	for (size_t i = 0; i < confine_calls_count; i++) {
		const struct confine_calls *c = &confine_calls[i];

		fprintf(f, "| %s | ", c->purpose);
		processes(f, c->who);
		fprintf(f, " | %s |\n", c->names);
	}
}

static void file_rows(FILE *f)
{
	static const struct {
		unsigned int may;
		const char *name;
	} rights[] = {
		{FILE_LIST, "list directories"},
		{FILE_READ, "read"},
		{FILE_WRITE, "write"},
		{FILE_MAKE, "make, rename, remove"},
	};

	fputs("| file, or directory with all in it | process | may | for |\n|---|---|---|---|\n",
	      f);
	for (size_t i = 0; i < confine_files_count; i++) {
		const struct confine_file *c = &confine_files[i];
		const char *separator = "";

		fprintf(f, "| `%s` | ", c->path);
		processes(f, c->who);
		fputs(" | ", f);
		for (size_t k = 0; k < sizeof(rights) / sizeof(*rights); k++) {
			if (!(c->may & rights[k].may))
				continue;
			fprintf(f, "%s%s", separator, rights[k].name);
			separator = ", ";
		}
		fprintf(f, " | %s |\n", c->purpose);
	}
}

/* --- files --- */

static const struct part {
	const char *name;
	void (*print)(FILE *f);
} parts[] = {
	{"settings", settings},
	{"schema rules", schema_rules},
	{"schema members", schema_members},
	{"chart schema", chart_schema},
	{"chart values", chart_values},
	{"drop reasons", drops},
	{"counters", counters},
	{"capabilities", capability_rows},
	{"system calls", call_rows},
	{"file access", file_rows},
};

/* The part that begins in this line; NULL: none. */
static const struct part *part_of(const char *line, size_t len)
{
	const char *begin = memmem(line, len, BEGIN, strlen(BEGIN));

	for (size_t i = 0; begin && i < sizeof(parts) / sizeof(*parts); i++) {
		const char *name = begin + strlen(BEGIN);
		const size_t n = strlen(parts[i].name);

		if (!strncmp(name, parts[i].name, n) && name[n] == ',')
			return &parts[i];
	}
	return NULL;
}

/* Returns the file with its parts written again; the caller frees it. NULL: a part is unknown, or
 * does not end. */
static char *made_anew(const char *text)
{
	char *fresh = NULL;
	size_t len;
	FILE *f = open_memstream(&fresh, &len);
	bool inside = false, good = f;

	while (good && *text) {
		const size_t line = strcspn(text, "\n") + (strchr(text, '\n') != NULL);
		const struct part *p = part_of(text, line);

		if (memmem(text, line, END, strlen(END)))
			inside = false;
		if (!inside)
			fwrite(text, 1, line, f);
		good = !memmem(text, line, BEGIN, strlen(BEGIN)) || (p && !inside);
		if (good && p) {
			p->print(f);
			inside = true;
		}
		text += line;
	}
	if (f)
		fclose(f);
	if (good && !inside)
		return fresh;
	free(fresh);
	return NULL;
}

static bool make_page(const char *path, bool check)
{
	char *text = NULL, *fresh = NULL;
	size_t len;
	int err = file_read(path, 1 << 20, &text, &len);
	bool stale;

	if (!err)
		fresh = made_anew(text);
	stale = fresh && strcmp(text, fresh) != 0;
	if (err)
		fprintf(stderr, "%s: %s\n", path, strerror(-err));
	else if (!fresh)
		fprintf(stderr, "%s: a part is not known, or does not end\n", path);
	else if (stale && check)
		fprintf(stderr, "%s differs from a table in the code: run make docs\n", path);
	else if (stale)
		err = file_write(path, 0644, fresh, strlen(fresh));
	free(text);
	err = err || !fresh || (stale && check);
	free(fresh);
	return !err;
}

int main(int argc, char **argv)
{
	const bool check = argc > 1 && !strcmp(argv[1], "--check");
	bool good = true;

	for (int i = check ? 2 : 1; i < argc; i++)
		good = make_page(argv[i], check) && good;
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
