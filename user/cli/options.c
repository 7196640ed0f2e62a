/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing and --help. Both use the table of subcommands (commands.c). */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "plan/settings.h"

#define WIDTH 92
/* Ids of getopt_long() start here, above all letters. */
#define ID_BASE 256

const struct subcommand *cli_find(const char *name)
{
	for (const struct subcommand *c = subcommands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

/* --- help --- */

/* Prints text with line breaks between words. The first line is not indented. */
static void wrap(FILE *out, const char *text, size_t column, size_t indent)
{
	for (bool first = true; *text; first = false) {
		const size_t word = strcspn(text, " ");

		if (!first && column + 1 + word > WIDTH) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (!first) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", (int)word, text);
		column += word;
		text += word + (text[word] == ' ');
	}
	fputc('\n', out);
}

static size_t option_width(const struct cli_option *o)
{
	return 8 + strlen(o->name) + (o->argument ? 1 + strlen(o->argument) : 0);
}

static void print_option(FILE *out, const struct cli_option *o, size_t indent)
{
	if (o->letter)
		fprintf(out, "  -%c, ", o->letter);
	else
		fprintf(out, "      ");
	fprintf(out, "--%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
	fprintf(out, "%*s", (int)(indent - option_width(o)), "");
	wrap(out, o->meaning, indent, indent);
}

static const struct cli_option help = {OPT_HELP, 'h', "help", NULL, "print this help", NULL};

static void print_settings(FILE *out)
{
	char range[SETTING_RANGE];

	fprintf(out,
		"\nSettings for this node only. They override those in the store. They can also be set in the\nenvironment as PODVEIL_NAME=VALUE:\n");
	for (const struct setting *s = settings_table; s < settings_table + SETTINGS_COUNT; s++)
		fprintf(out, "  --%-34s %s (%s; default %s)\n", s->name, s->meaning,
			setting_range(s, range), *s->fallback ? s->fallback : "none");
}

static void print_help(const struct subcommand *c, FILE *out)
{
	size_t indent = option_width(&help);

	fprintf(out, "usage: podveil %s%s%s%s\n", c->name, c->argument ? " " : "",
		c->argument ? c->argument : "", c->n_options ? " [OPTIONS]" : "");
	wrap(out, c->text, 0, 0);
	for (size_t i = 0; i < c->n_options; i++)
		if (option_width(&c->options[i]) > indent)
			indent = option_width(&c->options[i]);
	indent += 2;
	fputc('\n', out);
	for (size_t i = 0; i < c->n_options; i++)
		print_option(out, &c->options[i], indent);
	print_option(out, &help, indent);
	if (c->settings)
		print_settings(out);
	fputc('\n', out);
	wrap(out, c->ending, 0, 0);
}

/* --- parsing --- */

/* The input of getopt_long(). */
struct parser {
	struct option *options; /* ends with an entry without a name */
	size_t n;
	char *letters;
};

static void add(struct parser *p, const struct cli_option *o)
{
	const int argument = o->argument ? required_argument : no_argument;
	char *end = p->letters + strlen(p->letters);

	p->options[p->n++] = (struct option){o->name, argument, NULL, ID_BASE + (int)o->id};
	if (!o->letter)
		return;
	*end++ = o->letter;
	if (o->argument)
		*end++ = ':';
	*end = 0;
}

/* Adds help, the options of the table, then the settings. */
static int prepare(const struct subcommand *c, struct parser *p)
{
	const size_t room = 1 + c->n_options + SETTINGS_COUNT + 1;

	p->n = 0;
	p->options = calloc(room, sizeof(*p->options));
	p->letters = calloc(room, 2);
	if (!p->options || !p->letters)
		return -ENOMEM;
	add(p, &help);
	for (size_t i = 0; i < c->n_options; i++)
		add(p, &c->options[i]);
	for (int i = 0; c->settings && i < SETTINGS_COUNT; i++) {
		const struct cli_option o = {
			.id = (enum option_id)(OPT_SETTING + i),
			.name = settings_table[i].name,
			.argument = "VALUE",
		};

		add(p, &o);
	}
	return 0;
}

static int id_of(const struct subcommand *c, int option)
{
	if (option >= ID_BASE)
		return option - ID_BASE;
	for (size_t i = 0; i < c->n_options; i++)
		if (c->options[i].letter == option)
			return (int)c->options[i].id;
	return OPT_HELP;
}

/* Returns -1 to go on; else the exit code. */
static int parse_options(const struct subcommand *c, const struct parser *p, int argc, char **argv,
			 bool (*apply)(void *context, int id, const char *value), void *context)
{
	int option;

	while ((option = getopt_long(argc, argv, p->letters, p->options, NULL)) != -1) {
		if (option == '?') {
			fprintf(stderr, "see: podveil %s --help\n", c->name);
			return EXIT_USAGE;
		}
		if (id_of(c, option) == OPT_HELP) {
			print_help(c, stdout);
			return EXIT_DONE;
		}
		if (!apply(context, id_of(c, option), optarg))
			return EXIT_USAGE;
	}
	return -1;
}

int cli_parse(int argc, char **argv, bool (*apply)(void *context, int id, const char *value),
	      void *context, const char **argument)
{
	const struct subcommand *c = cli_find(argv[0]);
	char full[64], *name = argv[0];
	struct parser p;
	int result = EXIT_FAILED;

	/* getopt_long() begins its messages with argv[0]. */
	snprintf(full, sizeof(full), "podveil %s", name);
	argv[0] = full;
	if (!prepare(c, &p))
		result = parse_options(c, &p, argc, argv, apply, context);
	argv[0] = name;
	free(p.options);
	free(p.letters);
	if (result >= 0)
		return result;
	if (argument)
		*argument = argv[optind];
	if (argument && optind != argc - 1) {
		fprintf(stderr, "podveil %s: needs one %s; see: podveil %s --help\n", c->name,
			c->argument, c->name);
		return EXIT_USAGE;
	}
	if (!argument && optind != argc) {
		fprintf(stderr, "podveil %s: unexpected argument \"%s\"\n", c->name, argv[optind]);
		return EXIT_USAGE;
	}
	return -1;
}
