/* SPDX-License-Identifier: Apache-2.0 */
/* The array that grows, against one that is large enough from the start. */
#include "base/array.h"

#include <errno.h>

#include "check.h"

#define MOST 3000

struct element {
	uint32_t a;
	uint8_t b[3];
};

struct elements {
	struct element *all;
	size_t n, room;
};

/* Elements come and go; those in use stay what they were. */
static void keeps_what_is_in_it(void **state)
{
	static struct element want[MOST];
	struct elements e = {.all = NULL};
	uint64_t seed = 7;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		const uint32_t number = draw(&seed);

		if (e.n == MOST || (e.n && number % 4 == 0)) {
			e.n--;
			continue;
		}
		assert_int_equal(ARRAY_GROW(e.all, e.n, e.room), 0);
		assert_true(e.room > e.n);
		want[e.n] = e.all[e.n] = (struct element){number, {1, 2, (uint8_t)number}};
		e.n++;
	}
	assert_true(e.n > ARRAY_FIRST_ROOM);
	for (size_t i = 0; i < e.n; i++) {
		assert_int_equal(e.all[i].a, want[i].a);
		assert_memory_equal(e.all[i].b, want[i].b, sizeof(want[i].b));
	}
	free(e.all);
}

/* The room doubles, and only when the array is full. */
static void grows_seldom(void **state)
{
	struct elements e = {.all = NULL};
	unsigned int times = 0;

	(void)state;
	while (e.n < ARRAY_FIRST_ROOM << 8) {
		const size_t before = e.room;

		assert_int_equal(ARRAY_GROW(e.all, e.n, e.room), 0);
		if (e.room != before) {
			assert_int_equal(before, e.n);
			times++;
		}
		e.n++;
	}
	assert_int_equal(times, 9);
	free(e.all);
}

/* A size that no number holds is refused, not wrapped around; the array is still there. */
static void refuses_what_is_too_large(void **state)
{
	struct elements e = {.all = NULL};
	struct element *all;
	size_t room;

	(void)state;
	assert_int_equal(ARRAY_GROW(e.all, e.n, e.room), 0);
	e.all[0].a = 42;
	all = e.all;
	for (int shift = 1; shift <= 4; shift++) {
		e.n = e.room = room = (SIZE_MAX >> shift) + 1;
		assert_int_equal(ARRAY_GROW(e.all, e.n, e.room), -ENOMEM);
		assert_ptr_equal(e.all, all);
		assert_int_equal(e.room, room);
	}
	e.n = e.room = SIZE_MAX;
	assert_int_equal(ARRAY_GROW(e.all, e.n, e.room), -ENOMEM);
	assert_int_equal(e.all[0].a, 42);
	free(e.all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_what_is_in_it),
		cmocka_unit_test(grows_seldom),
		cmocka_unit_test(refuses_what_is_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
