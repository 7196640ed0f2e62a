/* SPDX-License-Identifier: Apache-2.0 */
/* The directory store: changes of files arrive as events, once and complete. */
#include "directory_world.h"

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
		cmocka_unit_test_setup_teardown(bad_stores_are_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
