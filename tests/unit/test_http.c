/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server against clients that mean no good, in one thread. */
#include "observe/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"

#define LARGE (10u << 20)

static char *small(void *context, int *status)
{
	(void)context;
	(void)status;
	return strdup("small\n");
}

static char *large(void *context, int *status)
{
	char *text = malloc(LARGE + 1);

	(void)context;
	(void)status;
	memset(text, 'x', LARGE);
	text[LARGE] = 0;
	return text;
}

static char *nothing(void *context, int *status)
{
	(void)context;
	*status = 503;
	return strdup("");
}

static const struct http_document documents[] = {
	{"/small", "text/plain", small},
	{"/large", "text/plain", large},
	{"/nothing", "text/plain", nothing},
};

struct server {
	struct event_base *base;
	struct http *http;
	unsigned short port;
};

static int start(void **state)
{
	static struct server s;

	signal(SIGPIPE, SIG_IGN);
	s.base = event_base_new();
	/* A port that is free; another process may take it first, then the next. */
	for (s.port = 39586; s.port < 39686; s.port++) {
		char where[32];

		snprintf(where, sizeof(where), "127.0.0.1:%u", s.port);
		if (!http_new(s.base, where, documents, COUNT_OF(documents), NULL, &s.http))
			break;
	}
	*state = &s;
	return s.http ? 0 : -1;
}

static int stop(void **state)
{
	struct server *s = *state;

	http_free(s->http);
	event_base_free(s->base);
	return 0;
}

static void turn(struct server *s, unsigned int times)
{
	while (times--)
		event_base_loop(s->base, EVLOOP_NONBLOCK);
}

/* Longer than the listeners rest after a burst. */
static void rest(struct server *s)
{
	turn(s, 3);
	usleep(200);
	turn(s, 3);
}

static int client(struct server *s, const char *request)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(s->port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	rest(s);
	assert_true(send(fd, request, strlen(request), 0) > 0);
	turn(s, 3);
	return fd;
}

/* Reads all that comes until the other end is silent; bytes. */
static size_t take(struct server *s, int fd, char *head, size_t room)
{
	static char buffer[1 << 18];
	size_t total = 0;

	for (int idle = 0; idle < 50;) {
		ssize_t got;

		turn(s, 2);
		got = recv(fd, buffer, sizeof(buffer), 0);
		if (got <= 0) {
			if (!got)
				break;
			idle++;
			rest(s);
			continue;
		}
		idle = 0;
		if (total + 1 < room) {
			size_t n = (size_t)got < room - 1 - total ? (size_t)got : room - 1 - total;

			memcpy(head + total, buffer, n);
			head[total + n] = 0;
		}
		total += (size_t)got;
	}
	return total;
}

static void assert_answer(struct server *s, const char *request, const char *begins)
{
	char head[512] = "";
	int fd = client(s, request);

	take(s, fd, head, sizeof(head));
	if (strncmp(head, begins, strlen(begins)))
		fail_msg("%.60s... -> %s", request, head);
	close(fd);
	turn(s, 3);
}

static void requests(void **state)
{
	static char many[64 * 1024];

	assert_answer(*state, "GET /small HTTP/1.1\r\n\r\n", "HTTP/1.1 200");
	assert_answer(*state, "GET /small?x=1 HTTP/1.0\r\n\r\n", "HTTP/1.0 200");
	assert_answer(*state, "HEAD /large HTTP/1.1\r\n\r\n", "HTTP/1.1 200");
	assert_answer(*state, "GET /nothing HTTP/1.1\r\n\r\n", "HTTP/1.1 503");
	assert_answer(*state, "GET /other HTTP/1.1\r\n\r\n", "HTTP/1.1 404");
	assert_answer(*state, "DELETE /small HTTP/1.1\r\n\r\n", "HTTP/1.1 501");
	assert_answer(*state, "GET /../../etc/passwd HTTP/1.1\r\n\r\n", "HTTP/1.1 404");
	assert_answer(*state, "\x16\x03\x01\x02\r\n\r\n", "HTTP/1.1 ");
	memset(many, 'a', sizeof(many) - 1);
	memcpy(many, "GET /", 5);
	assert_answer(*state, many, "");
}

/* Many at once: the last one is served, and no more than 64 are held. */
static void many_connections(void **state)
{
	struct server *s = *state;
	int held[300];
	unsigned int closed = 0;

	for (size_t i = 0; i < COUNT_OF(held); i++)
		held[i] = client(s, "GET /small HTTP/1.1\r\nX: never ends");
	assert_answer(s, "GET /small HTTP/1.1\r\n\r\n", "HTTP/1.1 200");
	for (size_t i = 0; i < COUNT_OF(held); i++) {
		char byte;
		ssize_t got;

		turn(s, 1);
		/* Sent away with an answer, or without one. */
		got = recv(held[i], &byte, 1, 0);
		closed += got >= 0 || errno != EAGAIN;
		close(held[i]);
	}
	turn(s, 500);
	assert_in_range(closed, COUNT_OF(held) - 64, COUNT_OF(held));
	assert_answer(s, "GET /small HTTP/1.1\r\n\r\n", "HTTP/1.1 200");
}

/* Who asks for much and takes nothing does not fill our memory. */
static void untaken_answers(void **state)
{
	struct server *s = *state;
	int greedy[8];
	char head[64];
	unsigned int refused = 0;

	for (size_t i = 0; i < COUNT_OF(greedy); i++)
		greedy[i] = client(s, "GET /large HTTP/1.1\r\n\r\n");
	/* Small ones fit all the same. */
	assert_answer(s, "GET /small HTTP/1.1\r\n\r\n", "HTTP/1.1 200");
	for (size_t i = COUNT_OF(greedy); i--;) {
		take(s, greedy[i], head, sizeof(head));
		refused += !strncmp(head, "HTTP/1.1 503", 12);
		close(greedy[i]);
	}
	assert_int_equal(refused, COUNT_OF(greedy) - 3);
	turn(s, 20);
	/* And when they are gone, or have taken theirs, there is room again. */
	for (int i = 0; i < 5; i++) {
		int fd = client(s, "GET /large HTTP/1.1\r\n\r\n");

		assert_true(take(s, fd, head, sizeof(head)) > LARGE);
		close(fd);
		fd = client(s, "GET /large HTTP/1.1\r\n\r\n");
		close(fd);
		turn(s, 20);
	}
}

/* The server goes while answers are on their way: nothing is freed twice, or too late. */
static void goes_with_answers_untaken(void **state)
{
	struct server *s = *state;

	for (int i = 0; i < 3; i++)
		client(s, "GET /large HTTP/1.1\r\n\r\n");
}

static void addresses(void **state)
{
	static const char *const wrong[] = {"",	     "9586",	":0",	      ":65536",	  ":http",
					    "[::1:", "[]:9586", "127.0.0.1:", "name:1:2x"};
	struct server *s = *state;
	struct http *h;

	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_int_equal(http_new(s->base, wrong[i], documents, 1, NULL, &h), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(requests, start, stop),
		cmocka_unit_test_setup_teardown(many_connections, start, stop),
		cmocka_unit_test_setup_teardown(untaken_answers, start, stop),
		cmocka_unit_test_setup_teardown(goes_with_answers_untaken, start, stop),
		cmocka_unit_test_setup_teardown(addresses, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
