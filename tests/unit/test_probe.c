/* SPDX-License-Identifier: Apache-2.0 */
#include "service/probe.h"

#include <errno.h>

#include "check.h"

#define HELLO "protocol=1\nversion=2\npid=1\n"
#define END   "errno=0\n\n"

static void says(const char *answer, int want, const char *text)
{
	char got[PROBE_TEXT];

	assert_int_equal(probe_answer(answer, "mine", got), want);
	assert_string_equal(got, text);
}

static void it_serves(void **state)
{
	(void)state;
	says(HELLO "hands_over=1\ninstance=mine\nhanded_over=other\n" END, 0,
	     "instance mine serves");
	/* Of another protocol. */
	says(HELLO "hands_over=1\ninstance=mine\nerrno=-93\n\n", 0, "instance mine serves");
}

static void another_one_serves(void **state)
{
	(void)state;
	says(HELLO "hands_over=1\ninstance=other\n" END, -EAGAIN,
	     "instance other serves; instance mine has not taken over yet");
	/* Of a version without names. */
	says(HELLO END, -EAGAIN, "one without a name serves; instance mine has not taken over yet");
	/* Names that begin or end in the same way. */
	says(HELLO "hands_over=1\ninstance=mine2\nhanded_over=mine2\nhanded_over=min\n" END,
	     -EAGAIN, "instance mine2 serves; instance mine has not taken over yet");
	/* After the end of the answer nothing counts. */
	says(HELLO "hands_over=1\n" END "instance=mine\n", -EAGAIN,
	     "one without a name serves; instance mine has not taken over yet");
}

static void it_can_only_wait(void **state)
{
	(void)state;
	says(HELLO "hands_over=1\ninstance=other\nhanded_over=a\nhanded_over=mine\n" END, 0,
	     "instance mine handed over, and waits until instance other ends");
	says(HELLO "hands_over=0\ninstance=other\n" END, 0,
	     "instance mine waits until instance other ends, which cannot hand over");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_serves),
		cmocka_unit_test(another_one_serves),
		cmocka_unit_test(it_can_only_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
