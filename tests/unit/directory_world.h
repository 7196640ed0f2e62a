/* SPDX-License-Identifier: Apache-2.0 */
/* A directory store in a temporary directory, and what it reported. */
#ifndef TESTS_UNIT_DIRECTORY_WORLD_H
#define TESTS_UNIT_DIRECTORY_WORLD_H

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "store/store.h"

/* What the callbacks reported, as lines. */
struct calls {
	char text[65536];
	char path[64];	  /* the store is below it */
	const char *node; /* our name; NULL: none */
	char memory[80];  /* path of the memory file; empty: none */
	struct event_base *base;
	struct store *store;
};

static inline void note(struct calls *t, const char *line)
{
	strncat(t->text, line, sizeof(t->text) - strlen(t->text) - 1);
	strncat(t->text, "\n", sizeof(t->text) - strlen(t->text) - 1);
}

static inline void on_node(void *context, const char *name, const struct node_record *r)
{
	char line[300];

	snprintf(line, sizeof(line), "node %s %s %u", name, r ? "is" : "gone", r ? r->port4 : 0);
	note(context, line);
}

static inline void on_settings(void *context, const char *node, const struct store_setting *all,
			       unsigned int n, const char *source)
{
	char line[600];

	assert_non_null(strstr(source, "/config/"));
	snprintf(line, sizeof(line), "settings %s", node ? node : "*");
	for (unsigned int i = 0; i < n; i++)
		snprintf(line + strlen(line), sizeof(line) - strlen(line), " %s=%s", all[i].name,
			 all[i].value);
	note(context, line);
}

static inline void on_synced(void *context)
{
	note(context, "synced");
}

static inline void write_file(const struct calls *t, const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/store/%s", t->path, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static inline void delete_file(const struct calls *t, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/store/%s", t->path, name);
	assert_int_equal(unlink(path), 0);
}

/* Runs the loop until this line was reported; fails after 5 s. */
static inline void expect(struct calls *t, const char *line)
{
	char whole[700];

	snprintf(whole, sizeof(whole), "%s\n", line);
	for (int i = 0; i < 500 && !strstr(t->text, whole); i++) {
		const struct timeval pause = {0, 10000};

		event_base_loopexit(t->base, &pause);
		event_base_dispatch(t->base);
	}
	if (!strstr(t->text, whole))
		fail_msg("\"%s\" was not reported, but:\n%s", line, t->text);
}

/* Writes settings and waits until they are reported: then all earlier changes were handled. */
static inline void wait_until_idle(struct calls *t)
{
	static int n;
	char text[100], line[100];

	snprintf(text, sizeof(text), "{\"mark\": %d}", ++n);
	snprintf(line, sizeof(line), "settings mark mark=%d", n);
	write_file(t, "config/node.mark.json", text);
	expect(t, line);
}

static inline void open_store(struct calls *t)
{
	char url[80];
	const struct store_params p = {
		.url = url,
		.base = t->base,
		.events = {on_node, on_settings, on_synced, t},
		.node = t->node,
		.memory = *t->memory ? t->memory : NULL,
	};

	snprintf(url, sizeof(url), "dir:%s/store", t->path);
	assert_int_equal(store_open(&p, &t->store), 0);
	assert_string_equal(t->text, ""); /* store_open() itself reports nothing */
}

static inline void shell(const struct calls *t, const char *format, ...)
{
	char command[600], whole[700];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	snprintf(whole, sizeof(whole), "cd %s && { %s; }", t->path, command);
	assert_int_equal(system(whole), 0);
}

/* Runs the loop until the store's problems contain this text; NULL: until there are none. Fails
 * after 10 s. */
static inline void expect_trouble(struct calls *t, const char *what)
{
	char *text = NULL;

	for (int i = 0; i < 1000; i++) {
		const struct timeval pause = {0, 10000};

		free(text);
		text = health_text(store_health(t->store));
		if (what ? strstr(text, what) != NULL : !*text)
			break;
		event_base_loopexit(t->base, &pause);
		event_base_dispatch(t->base);
	}
	if (what ? !strstr(text, what) : *text)
		fail_msg("trouble \"%s\" expected, but:\n%s", what ? what : "", text);
	assert_int_equal(what != NULL, health_stale_since(store_health(t->store)) > 0);
	free(text);
}

static inline int setup(void **state)
{
	struct calls *t = calloc(1, sizeof(*t));

	strcpy(t->path, "/tmp/podveil-test-XXXXXX");
	assert_non_null(mkdtemp(t->path));
	t->base = event_base_new();
	*state = t;
	return 0;
}

static inline int teardown(void **state)
{
	struct calls *t = *state;
	char command[100];

	store_close(t->store);
	event_base_free(t->base);
	snprintf(command, sizeof(command), "rm -rf %s", t->path);
	assert_int_equal(system(command), 0);
	free(t);
	return 0;
}

#endif
