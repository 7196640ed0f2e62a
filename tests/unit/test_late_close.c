/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that stay open longer than their descriptor or the process. The far end of a socket pair
 * shows whether the near end is still open. */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/late_close.h"
#include "check.h"

/* Much longer than the kernel's garbage collector needs. */
#define AT_MOST_MS 20000

static bool closed(int far, int wait_ms)
{
	struct pollfd p = {.fd = far, .events = POLLIN};
	char byte;

	return poll(&p, 1, wait_ms) == 1 && read(far, &byte, 1) == 0;
}

static void the_owner_closes_at_once(void **state)
{
	struct late_close l = LATE_CLOSE_NONE;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	late_close_begin(&l, pair[0]);
	assert_true(l.ends[0] >= 0 && l.ends[1] >= 0);
	assert_false(closed(pair[1], 0));
	late_close_end(&l);
	assert_false(closed(pair[1], 0));
	close(pair[0]);
	assert_true(closed(pair[1], 0));
	close(pair[1]);
	/* Ending without a beginning does nothing. */
	late_close_end(&l);
}

static void it_outlives_the_descriptor(void **state)
{
	struct late_close l = LATE_CLOSE_NONE;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	late_close_begin(&l, pair[0]);
	close(pair[0]);
	assert_false(closed(pair[1], 0));
	late_close_end(&l);
	assert_true(closed(pair[1], 0));
	close(pair[1]);
}

static void it_goes_after_a_process_that_is_killed(void **state)
{
	int pair[2], begun[2];
	char byte;
	pid_t child;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(pipe(begun), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		struct late_close l = LATE_CLOSE_NONE;

		close(pair[1]);
		late_close_begin(&l, pair[0]);
		if (write(begun[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(pair[0]);
	assert_int_equal(read(begun[0], &byte, 1), 1);
	assert_false(closed(pair[1], 0));
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_true(closed(pair[1], AT_MOST_MS));
	close(pair[1]);
	close(begun[0]);
	close(begun[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_owner_closes_at_once),
		cmocka_unit_test(it_outlives_the_descriptor),
		cmocka_unit_test(it_goes_after_a_process_that_is_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
