/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing and --help, both from the table. */
#include <getopt.h>
#include <string.h>

#include "cli/cli.h"
#include "plan/settings.h"

#define MAX_OPTIONS 80
#define WIDTH	    92
/* getopt's numbers: letters are below, so that ids do not meet them. */
#define ID_BASE 256

const struct subcommand *cli_find(const char *name)
{
	for (const struct subcommand *c = subcommands; c->name; c++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}

const char *cli_setting_choices(const char *range)
{
	if (!strcmp(range, "true or false"))
		return "true false";
	if (!strcmp(range, "error, warn, info or debug"))
		return "error warn info debug";
	if (!strcmp(range, "text or json"))
		return "text json";
	if (!strcmp(range, "auto, socket or xdp"))
		return "auto socket xdp";
	return NULL;
}

/* --- help --- */

/* Text with lines broken between words, all but the first indented. */
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

static const struct cli_option help = {OPT_HELP, 'h', "help", NULL, "this text", NULL};

static void print_settings(FILE *out)
{
	size_t n;
	const struct settings_field *fields = settings_fields(&n);

	fprintf(out, "\nSettings for this node alone, over those of the store; also as "
		     "PODVEIL_NAME=VALUE in the\nenvironment:\n");
	for (size_t i = 0; i < n; i++)
		fprintf(out, "  --%-34s %s (%s; default %s)\n", fields[i].name, fields[i].meaning,
			fields[i].range, *fields[i].fallback ? fields[i].fallback : "none");
}

void cli_usage(const struct subcommand *c, FILE *out)
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

static void add(struct option *to, size_t *n, const char *name, bool argument, int id)
{
	if (*n < MAX_OPTIONS - 1)
		to[(*n)++] = (struct option){name, argument ? required_argument : no_argument, NULL,
					     ID_BASE + id};
}

/* For getopt_long(): the table's options, then the settings. */
static void prepare(const struct subcommand *c, struct option *to, char *letters)
{
	size_t n = 0, n_settings;
	const struct settings_field *fields = settings_fields(&n_settings);

	memset(to, 0, MAX_OPTIONS * sizeof(*to));
	*letters++ = help.letter;
	add(to, &n, help.name, false, OPT_HELP);
	for (size_t i = 0; i < c->n_options; i++) {
		const struct cli_option *o = &c->options[i];

		add(to, &n, o->name, o->argument, (int)o->id);
		if (!o->letter)
			continue;
		*letters++ = o->letter;
		if (o->argument)
			*letters++ = ':';
	}
	*letters = 0;
	for (size_t i = 0; c->settings && i < n_settings; i++)
		add(to, &n, fields[i].name, true, OPT_SETTING + (int)i);
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

int cli_parse(int argc, char **argv, bool (*apply)(void *context, int id, const char *value),
	      void *context, const char **argument)
{
	const struct subcommand *c = cli_find(argv[0]);
	struct option options[MAX_OPTIONS];
	char letters[2 * MAX_OPTIONS + 2];
	int option;

	prepare(c, options, letters);
	while ((option = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		if (option == '?') {
			fprintf(stderr, "see: podveil %s --help\n", c->name);
			return EXIT_USAGE;
		}
		if (id_of(c, option) == OPT_HELP) {
			cli_usage(c, stdout);
			return EXIT_DONE;
		}
		if (!apply(context, id_of(c, option), optarg))
			return EXIT_USAGE;
	}
	if (argument)
		*argument = argv[optind];
	if (argument && optind != argc - 1) {
		fprintf(stderr, "podveil %s: needs one %s; see: podveil %s --help\n", c->name,
			c->argument, c->name);
		return EXIT_USAGE;
	}
	if (!argument && optind != argc) {
		fprintf(stderr, "podveil %s: \"%s\" is no option\n", c->name, argv[optind]);
		return EXIT_USAGE;
	}
	return -1;
}
