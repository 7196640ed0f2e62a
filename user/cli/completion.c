/* SPDX-License-Identifier: Apache-2.0 */
/* podveil completion: prints completion scripts for shells, from the table of subcommands
 * (commands.c). */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "plan/settings.h"

/* Calls back for each option of a subcommand, including settings and --help. */
static void each_option(const struct subcommand *c,
			void (*each)(const struct subcommand *c, const struct cli_option *o))
{
	static const struct cli_option help = {OPT_HELP,	  'h', "help", NULL,
					       "print this help", NULL};

	for (size_t i = 0; i < c->n_options; i++)
		each(c, &c->options[i]);
	for (size_t i = 0; c->settings && i < SETTINGS_COUNT; i++) {
		const struct cli_option o = {
			.name = settings_table[i].name,
			.argument = "VALUE",
			.meaning = settings_table[i].meaning,
			.choices = settings_table[i].words,
		};

		each(c, &o);
	}
	each(c, &help);
}

/* Commands that list the choices; the same for all three shells. */
#define INTERFACES "command ls /sys/class/net 2>/dev/null"
#define NODES                                                                                      \
	"podveil status --json 2>/dev/null | sed -n 's/^ *\"node\": \"\\(.*\\)\".*/\\1/p' | sort " \
	"-u"

static const char *choices_command(const char *choices)
{
	if (choices && !strcmp(choices, "<interface>"))
		return INTERFACES;
	if (choices && !strcmp(choices, "<node>"))
		return NODES;
	return NULL;
}

/* --- bash --- */

static void bash_word(const struct subcommand *c, const struct cli_option *o)
{
	(void)c;
	printf(" --%s", o->name);
}

static void bash_choices(const char *pattern, const char *choices)
{
	const char *command = choices_command(choices);

	printf("\t%s) ", pattern);
	if (command)
		printf("COMPREPLY=($(compgen -W \"$(%s)\" -- \"$word\"));;\n", command);
	else
		printf("COMPREPLY=($(compgen -W '%s' -- \"$word\"));;\n", choices ? choices : "");
}

static void bash_value(const struct subcommand *c, const struct cli_option *o)
{
	char pattern[128];

	if (!o->argument)
		return;
	snprintf(pattern, sizeof(pattern), "%s:--%s", c->name, o->name);
	bash_choices(pattern, o->choices);
}

static void bash(void)
{
	printf("# bash completion of podveil\n"
	       "_podveil() {\n"
	       "\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} "
	       "sub=${COMP_WORDS[1]}\n"
	       "\tCOMPREPLY=()\n"
	       "\tif ((COMP_CWORD == 1)); then\n"
	       "\t\tCOMPREPLY=($(compgen -W '");
	for (const struct subcommand *c = subcommands; c->name; c++)
		printf("%s ", c->name);
	printf("--help --version' -- \"$word\"))\n\t\treturn\n\tfi\n"
	       "\tcase $sub:$before in\n");
	for (const struct subcommand *c = subcommands; c->name; c++)
		each_option(c, bash_value);
	printf("\t*) case $sub:$word in\n");
	for (const struct subcommand *c = subcommands; c->name; c++) {
		printf("\t%s:-*) COMPREPLY=($(compgen -W '", c->name);
		each_option(c, bash_word);
		printf("' -- \"$word\"));;\n");
		if (c->choices) {
			char pattern[64];

			snprintf(pattern, sizeof(pattern), "%s:*", c->name);
			bash_choices(pattern, c->choices);
		}
	}
	printf("\tesac;;\n\tesac\n}\ncomplete -F _podveil podveil\n");
}

/* --- zsh --- */

/* Escapes text for single quotes. Brackets and colons are special there. */
static void zsh_text(const char *t)
{
	for (; *t; t++) {
		if (*t == '\'')
			fputs("'\\''", stdout);
		else if (strchr("[]:\\", *t))
			printf("\\%c", *t);
		else
			fputc(*t, stdout);
	}
}

static void zsh_choices(const char *name, const char *choices)
{
	const char *command = choices_command(choices);

	putchar(':');
	zsh_text(name);
	putchar(':');
	if (command && *command == 'c')
		printf("_net_interfaces");
	else if (command)
		printf("_podveil_nodes");
	else if (choices)
		printf("(%s)", choices);
}

static void zsh_option(const struct subcommand *c, const struct cli_option *o)
{
	(void)c;
	printf("\t\t\t'--%s[", o->name);
	zsh_text(o->meaning);
	putchar(']');
	if (o->argument)
		zsh_choices(o->argument, o->choices);
	printf("' \\\n");
}

static void zsh(void)
{
	printf("#compdef podveil\n"
	       "_podveil_nodes() { compadd -- ${(f)\"$(%s)\"} }\n"
	       "_podveil() {\n"
	       "\tif ((CURRENT == 2)); then\n"
	       "\t\tlocal -a all\n\t\tall=(\n",
	       NODES);
	for (const struct subcommand *c = subcommands; c->name; c++) {
		printf("\t\t\t'%s:", c->name);
		zsh_text(c->summary);
		printf("'\n");
	}
	printf("\t\t)\n\t\t_describe subcommand all\n\t\treturn\n\tfi\n"
	       "\tlocal sub=$words[2]\n"
	       "\tshift words\n\t((CURRENT--))\n"
	       "\tcase $sub in\n");
	for (const struct subcommand *c = subcommands; c->name; c++) {
		printf("\t%s)\n\t\t_arguments \\\n", c->name);
		each_option(c, zsh_option);
		printf("\t\t\t");
		if (c->argument) {
			printf("'1");
			zsh_choices(c->argument, c->choices);
			printf("'");
		}
		printf("\n\t\t;;\n");
	}
	printf("\tesac\n}\n"
	       "if [ \"$funcstack[1]\" = _podveil ]; then _podveil \"$@\"; else compdef _podveil "
	       "podveil; fi\n");
}

/* --- fish --- */

static void fish_text(const char *t)
{
	for (; *t; t++) {
		if (*t == '\'' || *t == '\\')
			putchar('\\');
		putchar(*t);
	}
}

static void fish_choices(const char *choices)
{
	const char *command = choices_command(choices);

	if (!choices)
		return;
	printf(" -a '");
	if (command)
		printf("(");
	fish_text(command ? command : choices);
	if (command)
		printf(")");
	printf("'");
}

static void fish_option(const struct subcommand *c, const struct cli_option *o)
{
	printf("complete -c podveil -n '__fish_seen_subcommand_from %s' -l %s", c->name, o->name);
	if (o->letter)
		printf(" -s %c", o->letter);
	if (o->argument)
		printf(" -x");
	fish_choices(o->choices);
	printf(" -d '");
	fish_text(o->meaning);
	printf("'\n");
}

static void fish(void)
{
	printf("# fish completion of podveil\ncomplete -c podveil -f\n");
	for (const struct subcommand *c = subcommands; c->name; c++) {
		printf("complete -c podveil -n __fish_use_subcommand -a %s -d '", c->name);
		fish_text(c->summary);
		printf("'\n");
		each_option(c, fish_option);
		if (!c->choices)
			continue;
		printf("complete -c podveil -n '__fish_seen_subcommand_from %s'", c->name);
		fish_choices(c->choices);
		printf("\n");
	}
}

static bool none(void *context, int id, const char *value)
{
	(void)context;
	(void)id;
	(void)value;
	return false;
}

int completion_main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*print)(void);
	} shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
	const char *shell;
	int result = cli_parse(argc, argv, none, NULL, &shell);

	if (result >= 0)
		return result;
	for (size_t i = 0; i < sizeof(shells) / sizeof(*shells); i++)
		if (!strcmp(shell, shells[i].name)) {
			shells[i].print();
			return EXIT_DONE;
		}
	fprintf(stderr, "podveil completion: \"%s\" is not bash, zsh or fish\n", shell);
	return EXIT_USAGE;
}
