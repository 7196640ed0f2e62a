/* SPDX-License-Identifier: Apache-2.0 */
#include "handover/instances.h"

#include <stdio.h>

#include "check.h"

#define UID "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"

static void valid_names(void **state)
{
	char longest[INSTANCE_MAX + 2];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[INSTANCE_MAX + 1] = 0;
	assert_false(instance_is_valid(longest));
	longest[INSTANCE_MAX] = 0;
	assert_true(instance_is_valid(longest));
	assert_true(instance_is_valid(UID));
	assert_true(instance_is_valid("Pod_1.a"));
	assert_false(instance_is_valid(""));
	assert_false(instance_is_valid("a b"));
	assert_false(instance_is_valid("a\nb"));
	assert_false(instance_is_valid("a,b"));
	assert_false(instance_is_valid("$(POD_UID)"));
	assert_false(instance_is_valid("\xc3\xa4"));
}

static void the_last_ones_are_kept(void **state)
{
	struct instances list = {.n = 0};
	char name[8];

	(void)state;
	instances_add(&list, "");
	instances_add(&list, "not valid");
	assert_int_equal(list.n, 0);
	for (int i = 0; i < INSTANCES_KEPT + 2; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		instances_add(&list, name);
		assert_true(instances_has(&list, name));
	}
	assert_int_equal(list.n, INSTANCES_KEPT);
	assert_false(instances_has(&list, "p1"));
	assert_true(instances_has(&list, "p2"));
	/* Once, and the latest: it outlives the others. */
	instances_add(&list, "p2");
	assert_int_equal(list.n, INSTANCES_KEPT);
	assert_string_equal(list.names[INSTANCES_KEPT - 1], "p2");
	instances_add(&list, "new");
	assert_false(instances_has(&list, "p3"));
	assert_true(instances_has(&list, "p2"));
}

static void all_come_back(void **state)
{
	struct instances list = {.n = 0}, again;
	uint8_t bytes[INSTANCES_ROOM];
	char name[INSTANCE_MAX + 1];

	(void)state;
	memset(name, 'x', INSTANCE_MAX);
	name[INSTANCE_MAX] = 0;
	for (int i = 0; i < INSTANCES_KEPT; i++) {
		name[0] = (char)('0' + i);
		instances_add(&list, name);
	}
	/* The largest list fills the room. */
	assert_int_equal(instances_write(&list, bytes), INSTANCES_ROOM);
	instances_read(bytes, sizeof(bytes), &again);
	assert_memory_equal(&again, &list, sizeof(list));
	instances_read_one(bytes, sizeof(bytes), 3, name);
	assert_string_equal(name, list.names[3]);
	instances_read_one(bytes, sizeof(bytes), INSTANCES_KEPT, name);
	assert_string_equal(name, "");
	/* A process of a version without instances sends none. */
	instances_read(NULL, 0, &again);
	assert_int_equal(again.n, 0);
}

static void what_is_no_name_is_left_out(void **state)
{
	static const char sent[] = "one\0\0not valid\0two\0cut off";
	struct instances list;
	uint8_t longer[INSTANCE_MAX + 6];
	char name[INSTANCE_MAX + 1];

	(void)state;
	/* Without the last zero. */
	instances_read((const uint8_t *)sent, sizeof(sent) - 1, &list);
	assert_int_equal(list.n, 2);
	assert_string_equal(list.names[0], "one");
	assert_string_equal(list.names[1], "two");
	instances_read_one((const uint8_t *)sent, sizeof(sent) - 1, 2, name);
	assert_string_equal(name, "");
	instances_read_one((const uint8_t *)sent, sizeof(sent) - 1, 3, name);
	assert_string_equal(name, "two");
	memset(longer, 'x', sizeof(longer));
	longer[INSTANCE_MAX + 1] = longer[INSTANCE_MAX + 5] = 0;
	instances_read(longer, sizeof(longer), &list);
	assert_int_equal(list.n, 1);
	assert_string_equal(list.names[0], "xxx");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid_names),
		cmocka_unit_test(the_last_ones_are_kept),
		cmocka_unit_test(all_come_back),
		cmocka_unit_test(what_is_no_name_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
