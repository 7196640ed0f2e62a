/* SPDX-License-Identifier: Apache-2.0 */
/* A request and its answer over a socket, whose other end answers well, badly, or not at all. */
#include "check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/exchange.h"

#define REQUEST "get=a\n\n"

/* What exchange() makes of this answer; the other end is closed after it if `ends`. */
static int ask(const char *answer, size_t len, bool ends, char **text, int *result)
{
	char request[sizeof(REQUEST)] = "";
	int fd[2], err;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	assert_int_equal(write(fd[1], answer, len), (ssize_t)len);
	if (ends)
		shutdown(fd[1], SHUT_WR);
	err = exchange(fd[0], REQUEST, strlen(REQUEST), 1, text, result);
	assert_int_equal(read(fd[1], request, sizeof(request)), strlen(REQUEST));
	assert_string_equal(request, REQUEST);
	close(fd[0]);
	close(fd[1]);
	return err;
}

static void test_answers(void **state)
{
	static const struct {
		const char *text;
		int result;
	} good[] = {
		{"errno=0\n\n", 0},
		{"a=1\nerrno=0\n\n", 0},
		{"errno=-16\n\n", -16},
		{"wire_reason=errno=5\nerrno=-19\n\n", -19},
	};
	char *text;
	int result;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(ask(good[i].text, strlen(good[i].text), false, &text, &result), 0);
		assert_int_equal(result, good[i].result);
		assert_string_equal(text, good[i].text);
		free(text);
	}
}

static void test_what_is_no_answer(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		int err;
	} bad[] = {
		{"\n\n", 2, -EPROTO},
		{"a=1\n\n", 5, -EPROTO},
		{"errno=\n\n", 8, -EPROTO},
		{"errno=16\n\n", 10, -EPROTO},
		{"errno=-5000\n\n", 13, -EPROTO},
		{"errno=0x\n\n", 10, -EPROTO},
		{"a=\0errno=0\n\n", 12, -EPROTO},
		{"", 0, -EPIPE},
		{"a=1\nerrno=0\n", 12, -EPIPE},
	};
	char *text;
	int result;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(ask(bad[i].text, bad[i].len, true, &text, &result), bad[i].err);
}

static void test_nobody_answers(void **state)
{
	char *text;
	int result, fd;

	(void)state;
	assert_int_equal(ask("a=1\n", 4, false, &text, &result), -ETIMEDOUT);
	assert_int_equal(exchange_connect("/nowhere/at.all", &fd), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_what_is_no_answer),
		cmocka_unit_test(test_nobody_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
