/* SPDX-License-Identifier: Apache-2.0 */
/* Messages with descriptors: they arrive whole or not at all, and no descriptor is lost or kept. */
#include "base/fd_message.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

static int ends[2];

static int setup(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int teardown(void **state)
{
	(void)state;
	close(ends[0]);
	return close(ends[1]);
}

static size_t open_descriptors(void)
{
	DIR *all = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(all))
		n++;
	closedir(all);
	return n;
}

static int send_with(const char *text, size_t n_fds)
{
	const struct iovec pieces[] = {{(void *)(uintptr_t)text, 1},
				       {(void *)(uintptr_t)(text + 1), strlen(text) - 1}};
	int fds[FD_MESSAGE_MAX + 1];

	for (size_t i = 0; i < n_fds; i++)
		fds[i] = ends[0];
	return fd_message_send(ends[0], pieces, 2, fds, n_fds, MSG_DONTWAIT);
}

static ssize_t receive(char *text, size_t length, int *fds, size_t room, size_t *n)
{
	const struct iovec piece = {text, length};

	return fd_message_receive(ends[1], &piece, 1, fds, room, n, MSG_DONTWAIT);
}

static void a_message_arrives_whole(void **state)
{
	int fds[FD_MESSAGE_MAX];
	char text[8] = "";
	size_t n;

	(void)state;
	assert_int_equal(send_with("hello", 2), 0);
	assert_int_equal(receive(text, sizeof(text), fds, 2, &n), 5);
	assert_string_equal(text, "hello");
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++) {
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		close(fds[i]);
	}
	/* As many as the kernel takes; and none. */
	assert_int_equal(send_with("many", FD_MESSAGE_MAX), 0);
	assert_int_equal(receive(text, sizeof(text), fds, FD_MESSAGE_MAX, &n), 4);
	assert_int_equal(n, FD_MESSAGE_MAX);
	while (n)
		close(fds[--n]);
	assert_int_equal(send_with("none", 0), 0);
	assert_int_equal(receive(text, sizeof(text), fds, 0, &n), 4);
	assert_int_equal(n, 0);
}

static void what_does_not_fit_is_an_error_and_leaves_nothing(void **state)
{
	const size_t before = open_descriptors();
	char text[8];
	int fds[2];
	size_t n;

	(void)state;
	assert_int_equal(send_with("too many", 3), 0);
	assert_int_equal(receive(text, sizeof(text), fds, 2, &n), -EPROTO);
	assert_int_equal(n, 0);
	assert_int_equal(send_with("too long for it", 1), 0);
	assert_int_equal(receive(text, sizeof(text), fds, 2, &n), -EPROTO);
	assert_int_equal(n, 0);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(send_with("more than the kernel takes", FD_MESSAGE_MAX + 1), -E2BIG);
	assert_int_equal(receive(text, sizeof(text), fds, 2, &n), -EAGAIN);
}

static void the_other_end_closes(void **state)
{
	char text[8];
	int fds[2];
	size_t n;

	(void)state;
	assert_int_equal(shutdown(ends[0], SHUT_WR), 0);
	assert_int_equal(receive(text, sizeof(text), fds, 2, &n), -EPIPE);
	assert_int_equal(shutdown(ends[1], SHUT_RD), 0);
	assert_int_equal(send_with("nobody", 1), -EPIPE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_message_arrives_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(what_does_not_fit_is_an_error_and_leaves_nothing,
						setup, teardown),
		cmocka_unit_test_setup_teardown(the_other_end_closes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
