/* SPDX-License-Identifier: Apache-2.0 */
/* The directory store: changes of files arrive as events, once and complete. */
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

static void note(struct calls *t, const char *line)
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

static void write_file(const struct calls *t, const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/store/%s", t->path, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void delete_file(const struct calls *t, const char *name)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/store/%s", t->path, name);
	assert_int_equal(unlink(path), 0);
}

/* Runs the loop until this line was reported; fails after 5 s. */
static void expect(struct calls *t, const char *line)
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
static void wait_until_idle(struct calls *t)
{
	static int n;
	char text[100], line[100];

	snprintf(text, sizeof(text), "{\"mark\": %d}", ++n);
	snprintf(line, sizeof(line), "settings mark mark=%d", n);
	write_file(t, "config/node.mark.json", text);
	expect(t, line);
}

static void open_store(struct calls *t)
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

static void shell(const struct calls *t, const char *format, ...)
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
static void expect_trouble(struct calls *t, const char *what)
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

static int setup(void **state)
{
	struct calls *t = calloc(1, sizeof(*t));

	strcpy(t->path, "/tmp/podveil-test-XXXXXX");
	assert_non_null(mkdtemp(t->path));
	t->base = event_base_new();
	*state = t;
	return 0;
}

static int teardown(void **state)
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

static void changes_by_others_are_reported(void **state)
{
	struct calls *t = *state;

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

static void existing_files_are_reported_before_synced(void **state)
{
	struct calls *t = *state;

	open_store(t); /* makes the directories */
	store_close(t->store);
	write_file(t, "nodes/a.json", "{\"name\":\"a\",\"port\":7}");
	write_file(t, "config/default.json", "{\"k\":1}");
	open_store(t);
	expect(t, "synced");
	assert_string_equal(t->text, "settings * k=1\nnode a is 7\nsynced\n");
}

static void our_own_writes_are_reported(void **state)
{
	struct node_record r = {.name = "me", .port4 = 9};
	const struct store_setting on = {"wireguardEnabled", "true"},
				   ranges = {"podveilStrictCIDRs", "10.0.0.0/8,fd00::/8"},
				   off = {"wireguardEnabled", NULL};
	struct calls *t = *state;
	struct stat before, after;
	char path[200];

	open_store(t);
	expect(t, "synced");
	assert_int_equal(store_publish(t->store, &r), 0);
	expect(t, "node me is 9");
	snprintf(path, sizeof(path), "%s/store/nodes/me.json", t->path);
	assert_int_equal(stat(path, &before), 0);
	/* An unchanged record is not written again. */
	assert_int_equal(store_publish(t->store, &r), 0);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(unlink(path), 0);
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
	/* A file that is not JSON is not overwritten. */
	write_file(t, "config/default.json", "{ somebody is writing");
	assert_int_equal(store_set(t->store, NULL, &on, 1), -EINVAL);
	wait_until_idle(t);
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
	struct calls *t = *state;
	char path[200], *huge;

	open_store(t);
	write_file(t, "nodes/a.json", "{\"name\":\"a\",\"port\":7}");
	write_file(t, "config/default.json", "{\"k\":1}");
	expect(t, "synced");
	wait_until_idle(t);
	t->text[0] = 0;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		write_file(t, bad[i][0], bad[i][1]);
		wait_until_idle(t);
		assert_null(strstr(t->text, "node "));
		assert_null(strstr(t->text, "settings *"));
		assert_int_equal(store_health(t->store)->errors, i + 1);
	}
	/* Nor do directories, files that are too large, and files with other names. */
	write_file(t, "nodes/.a.json.swp", "x");
	write_file(t, "nodes/README", "x");
	snprintf(path, sizeof(path), "%s/store/nodes/d.json", t->path);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/store/nodes/p.json", t->path);
	assert_int_equal(mkfifo(path, 0644), 0);
	snprintf(path, sizeof(path), "%s/store/nodes/l.json", t->path);
	assert_int_equal(symlink("l.json", path), 0);
	huge = malloc(RECORD_MAX_BYTES + 2);
	memset(huge, ' ', RECORD_MAX_BYTES + 1);
	huge[RECORD_MAX_BYTES + 1] = 0;
	write_file(t, "nodes/h.json", huge);
	free(huge);
	wait_until_idle(t);
	assert_null(strstr(t->text, "node "));
	/* After it is repaired, it is reported. */
	write_file(t, "nodes/a.json", "{\"name\":\"a\",\"port\":8}");
	expect(t, "node a is 8");
}

/* --- a missing store is not an empty one --- */

/* A cluster of two nodes; ours is a. Both records and strict settings exist and are remembered. */
static void open_two(struct calls *t)
{
	const struct node_record us = {.name = "a", .port4 = 1};

	t->node = "a";
	snprintf(t->memory, sizeof(t->memory), "%s/memory", t->path);
	open_store(t);
	expect(t, "synced");
	assert_int_equal(store_publish(t->store, &us), 0);
	expect(t, "node a is 1");
	write_file(t, "nodes/b.json", "{\"name\":\"b\",\"port\":2}");
	write_file(t, "config/default.json", "{\"podveilStrictMode\":true}");
	expect(t, "node b is 2");
	expect(t, "settings * podveilStrictMode=true");
	wait_until_idle(t);
	expect_trouble(t, NULL);
	t->text[0] = 0;
}

static void open_again(struct calls *t)
{
	store_close(t->store);
	t->text[0] = 0;
	open_store(t);
}

static void expect_no_deletion(const struct calls *t)
{
	if (strstr(t->text, "gone") || strstr(t->text, "settings *\n"))
		fail_msg("something went:\n%s", t->text);
}

/* What the administrator deletes is gone, also in a cluster of two. */
static void deleted_files_are_reported(void **state)
{
	struct calls *t = *state;

	open_two(t);
	delete_file(t, "nodes/b.json");
	expect(t, "node b gone 0");
	delete_file(t, "config/default.json");
	expect(t, "settings *");
	/* Only our own record was deleted: we publish it again. */
	delete_file(t, "nodes/a.json");
	expect(t, "node a gone 0");
	expect_trouble(t, NULL);
	/* Renaming away deletes; but a file may also be rewritten by deletion and renaming. */
	write_file(t, "nodes/a.json", "{\"name\":\"a\",\"port\":1}");
	write_file(t, "nodes/b.json", "{\"name\":\"b\",\"port\":3}");
	expect(t, "node b is 3");
	t->text[0] = 0;
	shell(t, "cd store/nodes; cp b.json b.tmp; rm b.json; mv b.tmp b.json");
	wait_until_idle(t);
	sleep(1);
	wait_until_idle(t);
	expect_no_deletion(t);
	shell(t, "mv store/nodes/b.json b.json");
	expect(t, "node b gone 0");
	/* Changes while no agent runs. */
	shell(t, "mv b.json store/nodes/b.json");
	expect(t, "node b is 3");
	write_file(t, "config/default.json", "{\"podveilStrictMode\":true}");
	expect(t, "settings * podveilStrictMode=true");
	store_close(t->store);
	t->store = NULL;
	t->text[0] = 0;
	shell(t, "rm store/nodes/b.json store/config/default.json");
	open_store(t);
	assert_int_equal(store_replay_memory(t->store), 4); /* with wait_until_idle()'s settings */
	expect(t, "synced");
	expect(t, "node b gone 0");
	expect(t, "settings *");
}

/* Each way to lose a store, and the problem that is reported. Meanwhile, and after a restart during
 * the loss, all that was known stays in force; and when the store is back, all is as before. */
static const struct {
	const char *break_it, *repair_it, *says;
} losses[] = {
	{"mv store away", "mv away store", "No such file"},
	{"mv store/nodes away", "mv away store/nodes", "No such file"},
	{"mv store/config away", "mv away store/config", "No such file"},
	{"cp -a store away; rm -rf store", "mv away store", "No such file"},
	{"mv store away; touch store", "rm store; mv away store", "Not a directory"},
	{"mv store away; mkdir -p store/nodes store/config", "rm -r store; mv away store",
	 ".identity is missing"},
	{"mv store/nodes away; mkdir store/nodes", "rmdir store/nodes; mv away store/nodes",
	 "the store was replaced"},
	{"cp -r store away; rm store/nodes/*", "cp away/nodes/* store/nodes",
	 "records: 2 are missing"},
	{"cp -r store away; rm store/nodes/* store/config/*",
	 "cp away/nodes/* store/nodes; cp away/config/* store/config", "are missing, too"},
	{"cp -r store away; rm store/nodes/a.json store/nodes/b.json; echo '{\"name\":\"c\"}' > "
	 "store/nodes/c.json",
	 "cp away/nodes/* store/nodes", "our own record is missing, too"},
	{"cp -r store away; rm -r store/nodes store/config", "cp -r away/* store", "No such file"},
	{"ln store/nodes/b.json kept; : > store/nodes/b.json",
	 "echo "
	 "'{\"name\":\"b\",\"port\":2}' > store/nodes/b.json",
	 "b.json: line"},
	{"cp store/nodes/b.json kept; truncate -s 2M store/nodes/b.json",
	 "cp kept store/nodes/b.json", "larger than 1 MiB"},
	{"cp store/nodes/b.json kept; ln -sf nowhere store/nodes/b.json",
	 "rm store/nodes/b.json; cp kept store/nodes/b.json", "No such file"},
	{"cd store/nodes; mv a.json x; mv b.json a.json; mv x b.json",
	 "cd store/nodes; mv a.json x; mv b.json a.json; mv x b.json",
	 "is not the name of the file"},
	{"mv store/config/default.json kept; mkdir store/config/default.json",
	 "rmdir store/config/default.json; mv kept store/config/default.json", "Is a directory"},
	{"cp store/config/default.json kept; echo '[' > store/config/default.json",
	 "cp kept store/config/default.json", "default.json: line"},
};

static void lost_files_stay_in_force(void **state)
{
	struct calls *t = *state;

	open_two(t);
	for (size_t i = 0; i < COUNT_OF(losses); i++) {
		print_message("%s\n", losses[i].break_it);
		t->text[0] = 0;
		shell(t, "%s", losses[i].break_it);
		expect_trouble(t, losses[i].says);
		expect_no_deletion(t);
		open_again(t);
		store_replay_memory(t->store);
		/* This comes from memory, before anything was read from the store. */
		assert_non_null(strstr(t->text, "settings * podveilStrictMode=true\n"));
		assert_non_null(strstr(t->text, "node b is 2\n"));
		expect_trouble(t, losses[i].says);
		expect_no_deletion(t);
		shell(t, "%s", losses[i].repair_it);
		expect_trouble(t, NULL);
		expect_no_deletion(t);
		shell(t, "rm -rf away kept");
	}
}

static void lost_files_can_be_deleted(void **state)
{
	struct calls *t = *state;

	open_two(t);
	shell(t, "rm store/nodes/*");
	expect_trouble(t, "records: 2 are missing");
	assert_false(store_has_record(t->store, "a"));
	assert_string_equal(t->text, "node a is 1\n"); /* to be published again */
	write_file(t, "nodes/a.json", "{\"name\":\"a\",\"port\":1}");
	wait_until_idle(t);
	expect_no_deletion(t);
	write_file(t, "nodes/b.json", "{\"name\":\"b\",\"port\":2}");
	expect_trouble(t, NULL);
	delete_file(t, "nodes/b.json");
	expect(t, "node b gone 0");
}

/* Without file descriptors nothing can be read, and nothing is lost; later all is read. */
static void without_descriptors(void **state)
{
	struct calls *t = *state;
	char from[200], to[200];
	struct rlimit all, none;
	int fd;

	open_two(t);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	fd = dup(0);
	close(fd);
	none = (struct rlimit){(rlim_t)fd, all.rlim_max};
	/* A node is deleted: now the store must be read. */
	write_file(t, "nodes/c.json", "{\"name\":\"c\",\"port\":3}");
	expect(t, "node c is 3");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	delete_file(t, "nodes/c.json");
	expect_trouble(t, "/store: Too many open files");
	expect_no_deletion(t);
	assert_true(store_health(t->store)->blind);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
	expect(t, "node c gone 0");
	expect_trouble(t, NULL);
	assert_null(strstr(t->text, "node b gone"));
	/* A changed record is read as soon as that is possible. */
	write_file(t, "fresh", "{\"name\":\"b\",\"port\":9}");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	snprintf(from, sizeof(from), "%s/store/fresh", t->path);
	snprintf(to, sizeof(to), "%s/store/nodes/b.json", t->path);
	assert_int_equal(rename(from, to), 0);
	expect_trouble(t, "b.json: Too many open files");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
	expect(t, "node b is 9");
	expect_trouble(t, NULL);
}

static void bad_stores_are_refused(void **state)
{
	static const char *const bad[] = {"",	     "etcd",	     "cloud:9",
					  "dir:",    "dir:relative", "dir:/proc/nowhere/store",
					  "/var/lib"};
	struct calls *t = *state;
	struct store_params p = {.base = t->base, .events = {on_node, on_settings, on_synced, t}};

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct store *s = NULL;

		p.url = bad[i];
		assert_true(store_open(&p, &s) < 0);
		assert_null(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(changes_by_others_are_reported, setup, teardown),
		cmocka_unit_test_setup_teardown(existing_files_are_reported_before_synced, setup,
						teardown),
		cmocka_unit_test_setup_teardown(our_own_writes_are_reported, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_files_change_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(deleted_files_are_reported, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_files_stay_in_force, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_files_can_be_deleted, setup, teardown),
		cmocka_unit_test_setup_teardown(without_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_stores_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
