/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent remembers of its store. What is missing in a list was deleted or was lost; what was
 * remembered is there again after a restart. */
#include <event2/event.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "store/memory.h"

struct world {
	char text[4096]; /* what the callbacks reported, as lines */
	char path[64];
	struct event_base *base;
	struct store_events events;
	struct store_health health;
	struct memory *memory;
};

static void note(struct world *w, const char *what, const char *name, const char *is)
{
	snprintf(w->text + strlen(w->text), sizeof(w->text) - strlen(w->text), "%s %s %s\n", what,
		 name, is);
}

static void on_node(void *context, const char *name, const struct node_record *r)
{
	char is[40] = "gone";

	if (r)
		snprintf(is, sizeof(is), "%zu", r->n_pod_cidrs);
	note(context, "node", name, is);
}

static const char *expected_source = "here";

static void on_settings(void *context, const char *node, const struct store_setting *all,
			unsigned int n, const char *source)
{
	assert_string_equal(source, expected_source);
	note(context, "settings", node ? node : "*", n ? all[0].value : "none");
}

static void open_memory(struct world *w)
{
	struct memory_params p = {
		.base = w->base,
		.path = w->path,
		.self = "a",
		.events = &w->events,
		.health = &w->health,
	};

	w->events = (struct store_events){.node = on_node, .settings = on_settings, .context = w};
	assert_int_equal(memory_new(&p, &w->memory), 0);
}

/* The agent ends, and a new one starts. */
static size_t restart(struct world *w)
{
	memory_free(w->memory);
	health_fini(&w->health);
	w->text[0] = 0;
	open_memory(w);
	return memory_replay(w->memory);
}

static void node(struct world *w, const char *name, const char *range)
{
	struct cidr ranges[2];
	struct node_record r = {.pod_cidrs = ranges};

	snprintf(r.name, sizeof(r.name), "%s", name);
	for (int i = 0; i < 2 && range; i++, range = strchr(range, ' ')) {
		char one[40];

		range += *range == ' ';
		snprintf(one, sizeof(one), "%.*s", (int)strcspn(range, " "), range);
		assert_int_equal(cidr_parse(one, &ranges[r.n_pod_cidrs++]), 0);
	}
	memory_put_node(w->memory, &r);
}

static void settings(struct world *w, const char *of, const char *value)
{
	const struct store_setting s = {"podveilStrictMode", value};

	memory_put_settings(w->memory, of, &s, 1, "here");
}

/* Gives a complete list of these nodes, one letter each. */
static bool list(struct world *w, const char *names, const struct memory_list *l)
{
	memory_list_begin(w->memory, MEMORY_NODES);
	for (; *names; names++)
		memory_put_unusable(w->memory, MEMORY_NODES, (char[]){*names, 0});
	w->text[0] = 0;
	return memory_list_end(w->memory, MEMORY_NODES, l);
}

static const struct memory_list first = {.identity = "one", .revision = 10};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	int fd;

	strcpy(w->path, "/tmp/podveil-memory-XXXXXX");
	fd = mkstemp(w->path);
	assert_true(fd >= 0);
	close(fd);
	unlink(w->path);
	w->base = event_base_new();
	open_memory(w);
	node(w, "a", "10.0.1.0/24");
	node(w, "b", "10.0.2.0/24 fd00:2::/64");
	node(w, "c", "10.0.3.0/24");
	settings(w, NULL, "true");
	assert_false(list(w, "abc", &first));
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	memory_free(w->memory);
	health_fini(&w->health);
	event_base_free(w->base);
	unlink(w->path);
	free(w);
	return 0;
}

static void a_list_of_the_same_store_deletes(void **state)
{
	const struct memory_list later = {.identity = "one", .revision = 11};
	struct world *w = *state;

	assert_false(list(w, "ab", &later));
	assert_string_equal(w->text, "node c gone\n");
	assert_false(list(w, "a", &later)); /* one of two */
	assert_string_equal(w->text, "node b gone\n");
}

static void evidence_against_a_deletion_keeps_records(void **state)
{
	static const struct {
		const char *names;
		struct memory_list l;
		const char *says;
	} cases[] = {
		{"ab", {.identity = "two", .revision = 11}, "the store was replaced"},
		{"ab", {.identity = "one", .revision = 9}, "older"},
		{"ab", {.identity = "one", .revision = 11, .doubt = "a doubt"}, "a doubt"},
		{"", {.identity = "one", .revision = 11}, "has none left"},
		{"b", {.identity = "one", .revision = 11}, "our own record"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char *text;

		teardown(state);
		setup(state);
		w = *state;
		assert_true(list(w, cases[i].names, &cases[i].l));
		assert_null(strstr(w->text, "gone"));
		text = health_text(&w->health);
		assert_non_null(strstr(text, cases[i].says));
		free(text);
		/* The node is not deleted later either, by the same store or after a restart. */
		list(w, "ab",
		     &(struct memory_list){.identity = cases[i].l.identity, .revision = 99});
		assert_null(strstr(w->text, "gone"));
		assert_int_equal(restart(w), 4);
		assert_non_null(strstr(w->text, "node c 1\n"));
		assert_int_equal(w->health.n_problems, 1);
		list(w, "ab",
		     &(struct memory_list){.identity = cases[i].l.identity, .revision = 100});
		assert_null(strstr(w->text, "gone"));
		/* After the node has come back, it can be deleted. */
		node(w, "c", "10.0.3.0/24");
		assert_int_equal(w->health.n_problems, 0);
		list(w, "ab",
		     &(struct memory_list){.identity = cases[i].l.identity, .revision = 101});
		assert_string_equal(w->text, "node c gone\n");
	}
}

/* A new agent recognizes the store by what the agent before it has seen. */
static void a_restart_does_not_change_the_decision(void **state)
{
	struct world *w = *state;

	/* While no agent ran, the store went back in time or was replaced. */
	restart(w);
	assert_true(list(w, "ab", &(struct memory_list){.identity = "one", .revision = 9}));
	assert_null(strstr(w->text, "gone"));
	teardown(state);
	setup(state);
	w = *state;
	restart(w);
	assert_true(list(w, "ab", &(struct memory_list){.identity = "two", .revision = 11}));
	assert_null(strstr(w->text, "gone"));
	/* When the new store has shown all nodes, it may delete nodes. */
	node(w, "c", "10.0.3.0/24");
	assert_false(list(w, "abc", &(struct memory_list){.identity = "two", .revision = 12}));
	restart(w);
	assert_false(list(w, "ab", &(struct memory_list){.identity = "two", .revision = 13}));
	assert_string_equal(w->text, "node c gone\n");
}

/* All nodes were deleted at once, but some are back in the next list. */
static void all_are_deleted_and_some_return(void **state)
{
	struct world *w = *state;

	memory_list_begin(w->memory, MEMORY_NODES);
	for (const char *name = "abc"; *name; name++)
		memory_expect_deletion(w->memory, MEMORY_NODES, (char[]){*name, 0});
	node(w, "a", "10.0.1.0/24");
	node(w, "b", "10.0.2.0/24 fd00:2::/64");
	w->text[0] = 0;
	assert_true(memory_list_end(w->memory, MEMORY_NODES, &first));
	assert_string_equal(w->text, "");
	assert_false(memory_in_store(w->memory, MEMORY_NODES, "c"));
	assert_true(memory_in_store(w->memory, MEMORY_NODES, "b"));
}

/* A node that was deleted and came back before the list is not reported as deleted. */
static void a_record_that_returns_was_not_deleted(void **state)
{
	struct world *w = *state;

	memory_expect_deletion(w->memory, MEMORY_NODES, "c");
	node(w, "c", "10.0.3.0/24");
	assert_false(list(w, "abc", &first));
	assert_false(list(w, "bc", &first)); /* only ours is missing: it was deleted */
	assert_string_equal(w->text, "node a gone\n");
}

/* When our own record is missing, that is reported, so that we publish it again. */
static void our_own_record_is_reported(void **state)
{
	struct world *w = *state;

	w->text[0] = 0;
	memory_hold(w->memory, MEMORY_NODES, "b", "its lease expired");
	assert_string_equal(w->text, "");
	memory_hold(w->memory, MEMORY_NODES, "a", "its lease expired");
	assert_string_equal(w->text, "node a 1\n");
	assert_false(memory_in_store(w->memory, MEMORY_NODES, "a"));
}

/* If another node gets the ranges of a missing node, the missing node will not come back. */
static void others_may_take_ranges_of_held_nodes(void **state)
{
	struct world *w = *state;

	memory_hold(w->memory, MEMORY_NODES, "b", "its lease expired");
	assert_int_equal(w->health.n_problems, 0);
	assert_int_equal(memory_held(w->memory, MEMORY_NODES), 1);
	w->text[0] = 0;
	node(w, "d", "10.0.2.0/26 10.0.0.0/16"); /* only a part, and a wider range */
	assert_string_equal(w->text, "node d 2\n");
	node(w, "d", "10.0.2.0/24");
	assert_non_null(strstr(w->text, "node b 1\n"));
	node(w, "d", "10.0.2.0/24 fd00:2::/64");
	assert_non_null(strstr(w->text, "node b gone\n"));
	assert_null(strstr(w->text, "node c"));
	/* If the store was lost, a missing record says nothing about its node. */
	assert_true(list(w, "ad", &(struct memory_list){.identity = "two"}));
	node(w, "d", "10.0.3.0/24");
	assert_null(strstr(w->text, "node c"));
}

static void only_the_owner_removes_settings(void **state)
{
	const struct memory_list l = {.identity = "one", .revision = 11};
	struct world *w = *state;

	/* The same settings from another source are news, because messages name the source. */
	w->text[0] = 0;
	settings(w, NULL, "true");
	assert_string_equal(w->text, "");
	expected_source = "there";
	memory_put_settings(w->memory, NULL, &(struct store_setting){"podveilStrictMode", "true"},
			    1, "there");
	assert_string_equal(w->text, "settings * true\n");
	expected_source = "here";
	settings(w, NULL, "true");
	settings(w, "a", "false");
	memory_list_begin(w->memory, MEMORY_SETTINGS);
	w->text[0] = 0;
	assert_true(memory_list_end(w->memory, MEMORY_SETTINGS, &l));
	assert_string_equal(w->text, "");
	memory_list_begin(w->memory, MEMORY_SETTINGS);
	settings(w, NULL, "false");
	assert_string_equal(w->text, "settings * false\n");
	memory_list_end(w->memory, MEMORY_SETTINGS, &l);
	assert_int_equal(memory_held(w->memory, MEMORY_SETTINGS), 1);
	w->text[0] = 0;
	memory_delete(w->memory, MEMORY_SETTINGS, "a");
	assert_string_equal(w->text, "settings a none\n");
	assert_int_equal(restart(w), 4);
	assert_true(!strncmp(w->text, "settings * false\nnode", 21));
}

/* Members of a record that its JSON form does not have are remembered too. */
static void a_record_comes_back_whole(void **state)
{
	struct cidr ranges[2], granted;
	struct node_record r = {.name = "e",
				.pod_cidrs = ranges,
				.n_pod_cidrs = 2,
				.granted = &granted,
				.n_granted = 1,
				.tunnels_assigned = true,
				.assigned = true,
				.encrypts = true,
				.source = ROUTE_SOURCE_WORKLOAD_IPS};
	const struct memory_entry *e;
	struct world *w = *state;

	assert_int_equal(cidr_parse("10.0.5.0/24", &ranges[0]), 0);
	assert_int_equal(cidr_parse("10.0.2.9/32", &ranges[1]), 0);
	granted = ranges[1];
	assert_int_equal(cidr_parse_address("10.0.5.1", &r.overlays[1]), 0);
	assert_int_equal(cidr_parse_address("172.18.0.9", &r.address4), 0);
	memset(r.key4, 7, sizeof(r.key4));
	record_normalise(&r);
	memory_put_node(w->memory, &r);
	restart(w);
	e = memory_find(w->memory, MEMORY_NODES, "e");
	assert_non_null(e);
	assert_true(record_equal(&e->record, &r));
}

/* Before a value that is refused, the last valid one is reported. */
static void valid_settings_are_reported_first(void **state)
{
	const struct store_setting good = {"podveilStrictMode", "true"};
	struct world *w = *state;

	settings(w, NULL, "treu");
	memory_good_settings(w->memory, NULL, &good, 1);
	restart(w);
	assert_true(!strncmp(w->text, "settings * true\nsettings * treu\nnode", 36));
	restart(w);
	assert_true(!strncmp(w->text, "settings * true\nsettings * treu\nnode", 36));
	memory_good_settings(w->memory, NULL, NULL, 0);
	restart(w);
	assert_true(!strncmp(w->text, "settings * treu\nnode", 20));
}

static void an_invalid_file_is_ignored(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"{\"version\":1}",
		"{\"version\":2,\"nodes\":{\"identity\":\"\"},\"settings\":{\"identity\":\"\"},\"known\":["
		"{\"record\":{\"name\":\"a\"}}]}",
		"{\"version\":1,\"nodes\":{\"identity\":\"\"},\"settings\":{\"identity\":\"\"},\"known\":[{}]}",
		"{\"version\":1,\"nodes\":{\"identity\":\"\"},\"settings\":{\"identity\":\"\"},\"known\":["
		"{\"record\":{\"name\":\"a\"}},{\"record\":{\"name\":\"../a\"}}]}"};
	struct world *w = *state;
	struct stat s;

	memory_free(w->memory);
	assert_int_equal(stat(w->path, &s), 0);
	assert_int_equal(s.st_mode & 0777, 0600);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		FILE *f = fopen(w->path, "w");

		fputs(bad[i], f);
		fclose(f);
		w->text[0] = 0;
		open_memory(w);
		assert_int_equal(memory_replay(w->memory), 0);
		assert_string_equal(w->text, "");
		if (i + 1 < COUNT_OF(bad))
			memory_free(w->memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_list_of_the_same_store_deletes, setup, teardown),
		cmocka_unit_test_setup_teardown(evidence_against_a_deletion_keeps_records, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_restart_does_not_change_the_decision, setup,
						teardown),
		cmocka_unit_test_setup_teardown(all_are_deleted_and_some_return, setup, teardown),
		cmocka_unit_test_setup_teardown(a_record_that_returns_was_not_deleted, setup,
						teardown),
		cmocka_unit_test_setup_teardown(our_own_record_is_reported, setup, teardown),
		cmocka_unit_test_setup_teardown(others_may_take_ranges_of_held_nodes, setup,
						teardown),
		cmocka_unit_test_setup_teardown(only_the_owner_removes_settings, setup, teardown),
		cmocka_unit_test_setup_teardown(a_record_comes_back_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(valid_settings_are_reported_first, setup, teardown),
		cmocka_unit_test_setup_teardown(an_invalid_file_is_ignored, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
