/* SPDX-License-Identifier: Apache-2.0 */
/* The directory store tells deleted files from lost ones. */
#include "directory_world.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(deleted_files_are_reported, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_files_stay_in_force, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_files_can_be_deleted, setup, teardown),
		cmocka_unit_test_setup_teardown(without_descriptors, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
