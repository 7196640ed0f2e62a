/* SPDX-License-Identifier: Apache-2.0 */
/* The directory store: what others do with files arrives as events, once and whole. */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "store/store.h"

/* What was told, as lines. */
struct told {
	char text[65536];
	char path[64];
	struct event_base *base;
	struct store *store;
};

static void note(struct told *t, const char *line)
{
	strncat(t->text, line, sizeof(t->text) - strlen(t->text) - 1);
	strncat(t->text, "\n", sizeof(t->text) - strlen(t->text) - 1);
}

static void on_node(void *context, const char *name, const struct node_record *r)
{
	char line[300];

	snprintf(line, sizeof(line), "node %s %s %u", name, r ? "is" : "gone", r ? r->port4 : 0);
	note(context, line);
}

static void on_settings(void *context, const char *node, const struct store_setting *all,
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

static void on_synced(void *context)
{
	note(context, "synced");
}

static void write_file(const struct told *t, const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", t->path, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void delete_file(const struct told *t, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/%s", t->path, name);
	assert_int_equal(unlink(path), 0);
}

/* Runs the loop until this was told; 5 s at most. */
static void expect(struct told *t, const char *line)
{
	char whole[700];

	snprintf(whole, sizeof(whole), "%s\n", line);
	for (int i = 0; i < 500 && !strstr(t->text, whole); i++) {
		const struct timeval pause = {0, 10000};

		event_base_loopexit(t->base, &pause);
		event_base_dispatch(t->base);
	}
	if (!strstr(t->text, whole))
		fail_msg("\"%s\" was not told, but:\n%s", line, t->text);
}

/* A file that is read afterwards shows that everything before was dealt with. */
static void settle(struct told *t)
{
	static int n;
	char text[100], line[100];

	snprintf(text, sizeof(text), "{\"mark\": %d}", ++n);
	snprintf(line, sizeof(line), "settings mark mark=%d", n);
	write_file(t, "config/node.mark.json", text);
	expect(t, line);
}

static void open_store(struct told *t)
{
	const struct store_events events = {on_node, on_settings, on_synced, t};
	char url[80];

	snprintf(url, sizeof(url), "dir:%s", t->path);
	assert_int_equal(store_open(url, t->base, &events, &t->store), 0);
	assert_string_equal(t->text, ""); /* never from inside */
}

static int setup(void **state)
{
	struct told *t = calloc(1, sizeof(*t));

	strcpy(t->path, "/tmp/podveil-test-XXXXXX");
	assert_non_null(mkdtemp(t->path));
	t->base = event_base_new();
	*state = t;
	return 0;
}

static int teardown(void **state)
{
	struct told *t = *state;
	char command[100];

	store_close(t->store);
	event_base_free(t->base);
	snprintf(command, sizeof(command), "rm -rf %s", t->path);
	assert_int_equal(system(command), 0);
	free(t);
	return 0;
}

static void what_others_write_is_told(void **state)
{
	struct told *t = *state;

	open_store(t);
	expect(t, "synced");
	write_file(t, "nodes/b.json", "{\"name\":\"b\",\"port\":1}");
	expect(t, "node b is 1");
	write_file(t, "nodes/b.json", "{\"name\":\"b\",\"port\":2}");
	expect(t, "node b is 2");
	delete_file(t, "nodes/b.json");
	expect(t, "node b gone 0");
	write_file(t, "config/default.json",
		   "{\"wireguardEnabled\":true,\"port\":5,\"list\":[\"a\",\"b\"],\"none\":null}");
	expect(t, "settings * wireguardEnabled=true port=5 list=a,b");
	write_file(t, "config/node.b.json", "{\"x\":\"y\"}");
	expect(t, "settings b x=y");
	delete_file(t, "config/node.b.json");
	expect(t, "settings b");
	delete_file(t, "config/default.json");
	expect(t, "settings *");
}

static void what_is_there_at_first_is_told_before_synced(void **state)
{
	struct told *t = *state;

	open_store(t); /* makes the directories */
	store_close(t->store);
	write_file(t, "nodes/a.json", "{\"name\":\"a\",\"port\":7}");
	write_file(t, "config/default.json", "{\"k\":1}");
	open_store(t);
	expect(t, "synced");
	assert_string_equal(t->text, "settings * k=1\nnode a is 7\nsynced\n");
}

static void what_we_write_comes_back(void **state)
{
	struct node_record r = {.name = "me", .port4 = 9};
	const struct store_setting on = {"wireguardEnabled", "true"},
				   ranges = {"podveilStrictCIDRs", "10.0.0.0/8,fd00::/8"},
				   off = {"wireguardEnabled", NULL};
	struct told *t = *state;
	struct stat before, after;
	char path[200];

	open_store(t);
	expect(t, "synced");
	assert_int_equal(store_publish(t->store, &r), 0);
	expect(t, "node me is 9");
	snprintf(path, sizeof(path), "%s/nodes/me.json", t->path);
	assert_int_equal(stat(path, &before), 0);
	/* The same again is not written again. */
	assert_int_equal(store_publish(t->store, &r), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(store_withdraw(t->store, "me"), 0);
	assert_int_equal(store_withdraw(t->store, "me"), 0);
	expect(t, "node me gone 0");
	write_file(t, "config/default.json", "{\"other\": {\"deep\": 1}}");
	assert_int_equal(store_set(t->store, NULL, &on, 1), 0);
	assert_int_equal(store_set(t->store, NULL, &ranges, 1), 0);
	expect(t, "settings * other={\"deep\":1} wireguardEnabled=true "
		  "podveilStrictCIDRs=10.0.0.0/8,fd00::/8");
	assert_int_equal(store_set(t->store, NULL, &off, 1), 0);
	expect(t, "settings * other={\"deep\":1} podveilStrictCIDRs=10.0.0.0/8,fd00::/8");
	assert_int_equal(store_set(t->store, "n1", &on, 1), 0);
	expect(t, "settings n1 wireguardEnabled=true");
	/* What is no JSON is not overwritten. */
	write_file(t, "config/default.json", "{ somebody is writing");
	assert_int_equal(store_set(t->store, NULL, &on, 1), -EINVAL);
	settle(t);
	assert_true(store_health(t->store)->errors > 0);
	assert_non_null(strstr(store_health(t->store)->last_error, "default.json"));
}

static void bad_files_change_nothing(void **state)
{
	static const char *const bad[][2] = {
		{"nodes/a.json", "{ half"},
		{"nodes/a.json", "[]"},
		{"nodes/a.json", ""},
		{"nodes/a.json", "{\"name\":\"b\"}"},
		{"nodes/c.json", "{\"name\":\"c\",\"port\":\"x\"}"},
		{"config/other.json", "{}"},
		{"config/default.json", "[1]"},
	};
	struct told *t = *state;
	char path[200], *huge;

	open_store(t);
	write_file(t, "nodes/a.json", "{\"name\":\"a\",\"port\":7}");
	write_file(t, "config/default.json", "{\"k\":1}");
	expect(t, "synced");
	settle(t);
	t->text[0] = 0;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		write_file(t, bad[i][0], bad[i][1]);
		settle(t);
		assert_null(strstr(t->text, "node "));
		assert_null(strstr(t->text, "settings *"));
		assert_int_equal(store_health(t->store)->errors, i + 1);
	}
	/* Neither do things that are no files, files that are too large, and files of others. */
	write_file(t, "nodes/.a.json.swp", "x");
	write_file(t, "nodes/README", "x");
	snprintf(path, sizeof(path), "%s/nodes/d.json", t->path);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/nodes/p.json", t->path);
	assert_int_equal(mkfifo(path, 0644), 0);
	snprintf(path, sizeof(path), "%s/nodes/l.json", t->path);
	assert_int_equal(symlink("l.json", path), 0);
	huge = malloc(RECORD_MAX_BYTES + 2);
	memset(huge, ' ', RECORD_MAX_BYTES + 1);
	huge[RECORD_MAX_BYTES + 1] = 0;
	write_file(t, "nodes/h.json", huge);
	free(huge);
	settle(t);
	assert_null(strstr(t->text, "node "));
	/* Repaired, it is told. */
	write_file(t, "nodes/a.json", "{\"name\":\"a\",\"port\":8}");
	expect(t, "node a is 8");
}

static void directories_may_vanish(void **state)
{
	struct told *t = *state;
	char command[300];

	open_store(t);
	write_file(t, "nodes/a.json", "{\"name\":\"a\",\"port\":7}");
	expect(t, "node a is 7");
	t->text[0] = 0;
	snprintf(command, sizeof(command), "rm -rf %s/nodes", t->path);
	assert_int_equal(system(command), 0);
	expect(t, "node a gone 0");
	expect(t, "synced");
	write_file(t, "nodes/b.json", "{\"name\":\"b\",\"port\":1}");
	expect(t, "node b is 1");
	/* Moved away, with another in its place. */
	t->text[0] = 0;
	snprintf(command, sizeof(command), "mv %s/nodes %s/old && mkdir %s/nodes", t->path, t->path,
		 t->path);
	assert_int_equal(system(command), 0);
	expect(t, "node b gone 0");
	write_file(t, "old/x.json", "{\"name\":\"x\"}");
	write_file(t, "nodes/c.json", "{\"name\":\"c\",\"port\":3}");
	expect(t, "node c is 3");
	assert_null(strstr(t->text, "node x"));
}

static void bad_stores_are_refused(void **state)
{
	const struct store_events events = {on_node, on_settings, on_synced, *state};
	static const char *const bad[] = {"",	     "etcd",	     "cloud:9",
					  "dir:",    "dir:relative", "dir:/proc/nowhere/store",
					  "/var/lib"};
	struct told *t = *state;

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct store *s = NULL;

		assert_true(store_open(bad[i], t->base, &events, &s) < 0);
		assert_null(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_others_write_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_there_at_first_is_told_before_synced, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_we_write_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_files_change_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(directories_may_vanish, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_stores_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
