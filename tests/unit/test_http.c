/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server with hostile clients, and with an owner that hangs. The server has its own
 * thread. This thread is the owner, and makes documents while it runs its loop. */
#include "http/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "http/address.h"
#include "http/clients.h"

#define LARGE	  (10u << 20)
#define PATIENCE  20 /* s; all that is awaited comes in that time, also on a loaded machine */
#define GET(path) "GET " path " HTTP/1.1\r\nConnection: close\r\n\r\n"

static unsigned int made; /* how often a large document was made */

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
	made++;
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

static char *no_memory(void *context, int *status)
{
	(void)context;
	(void)status;
	return NULL;
}

static const struct http_document documents[] = {
	{"/health", "text/plain", .make = NULL},
	{"/small", "text/plain", .make = small},
	{"/large", "text/plain", .make = large, .local = true},
	{"/nothing", "text/plain", .make = nothing},
	{"/memory", "text/plain", .make = no_memory},
	{"/constant", "text/plain", .make = small, .constant = true},
};

struct server {
	struct event_base *base;
	struct http *http;
	unsigned short port;
};

static int start_with(void **state, unsigned int hang_ms)
{
	static struct server s;
	char where[32];
	const struct http_params params = {
		.address = where,
		.base = s.base = event_base_new(),
		.documents = documents,
		.n = COUNT_OF(documents),
		.hang_ms = hang_ms,
	};

	signal(SIGPIPE, SIG_IGN);
	made = 0;
	s.http = NULL;
	/* Find a free port. */
	for (s.port = 39586; s.port < 39686; s.port++) {
		snprintf(where, sizeof(where), "127.0.0.1:%u", s.port);
		if (!http_new(&params, &s.http))
			break;
	}
	*state = &s;
	return s.http ? 0 : -1;
}

static int start(void **state)
{
	return start_with(state, 3600 * 1000);
}

static int start_impatient(void **state)
{
	return start_with(state, 50);
}

static int stop(void **state)
{
	struct server *s = *state;

	http_free(s->http);
	event_base_free(s->base);
	return 0;
}

static void turn(struct server *s)
{
	event_base_loop(s->base, EVLOOP_NONBLOCK);
}

static int client_from(const struct server *s, const char *from, const char *request)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(s->port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(from)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_true(send(fd, request, strlen(request), 0) > 0);
	return fd;
}

static int client(const struct server *s, const char *request)
{
	return client_from(s, "127.0.0.1", request);
}

/* Reads up to `room` bytes, or all until the end; returns how many. Meanwhile `owner` makes
 * documents; NULL: no documents are made. */
static size_t take(struct server *owner, int fd, char *out, size_t room)
{
	static char rest[1 << 18];
	const time_t end = time(NULL) + PATIENCE;
	size_t total = 0;

	while (time(NULL) < end && (!out || total < room)) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		ssize_t got;

		if (owner)
			turn(owner);
		if (poll(&ready, 1, 5) != 1)
			continue;
		got = recv(fd, out ? out + total : rest, out ? room - total : sizeof(rest), 0);
		if (got <= 0)
			return total;
		total += (size_t)got;
	}
	assert_true(time(NULL) < end);
	return total;
}

static void expect(struct server *owner, int fd, const char *begins)
{
	char head[64] = "";

	take(owner, fd, head, strlen(begins));
	assert_string_equal(head, begins);
}

static void assert_answer(struct server *s, const char *request, const char *begins)
{
	int fd = client(s, request);

	expect(s, fd, begins);
	close(fd);
}

static void requests(void **state)
{
	static char many[64 * 1024];

	assert_answer(*state, GET("/small"), "HTTP/1.1 200");
	assert_answer(*state, "GET /small?x=1 HTTP/1.0\r\n\r\n", "HTTP/1.0 200");
	assert_answer(*state, "HEAD /large HTTP/1.1\r\n\r\n", "HTTP/1.1 200");
	assert_answer(*state, GET("/nothing"), "HTTP/1.1 503");
	assert_answer(*state, GET("/memory"), "HTTP/1.1 500");
	assert_answer(*state, GET("/health"), "HTTP/1.1 200");
	assert_answer(*state, GET("/other"), "HTTP/1.1 404");
	assert_answer(*state, "DELETE /small HTTP/1.1\r\n\r\n", "HTTP/1.1 501");
	assert_answer(*state, GET("/../../etc/passwd"), "HTTP/1.1 404");
	assert_answer(*state, "\x16\x03\x01\x02\r\n\r\n", "HTTP/1.1 ");
	memset(many, 'a', sizeof(many) - 1);
	memcpy(many, "GET /", 5);
	close(client(*state, many));
	assert_answer(*state, GET("/small"), "HTTP/1.1 200");
}

/* 128 clients request a large document and do not read it: it is made once. Health is answered even
 * if the owner does nothing. */
static void slow_readers(void **state)
{
	struct server *s = *state;
	int slow[128];

	for (size_t i = 0; i < COUNT_OF(slow); i++)
		slow[i] = client(s, GET("/large"));
	/* First the document is not made yet, then it is stuck in the clients' sockets. */
	for (int i = 0; i < 2; i++) {
		int fd = client(s, GET("/health"));

		expect(NULL, fd, "HTTP/1.1 200");
		close(fd);
		fd = client(s, GET("/constant"));
		expect(NULL, fd, "HTTP/1.1 200");
		close(fd);
		/* Now all clients have its beginning. */
		for (size_t k = 0; k < COUNT_OF(slow) && !i; k++)
			expect(s, slow[k], "HTTP/1.1 200");
		assert_int_equal(made, 1);
	}
	for (size_t i = 0; i < COUNT_OF(slow); i++) {
		if (i % 8 == 0)
			assert_true(take(NULL, slow[i], NULL, 0) > LARGE);
		close(slow[i]);
	}
	assert_int_equal(made, 1);
}

/* True if the server has closed the connection, with an answer or without. */
static bool is_closed(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) >= 0 || errno != EAGAIN;
}

/* With many connections at once, the newest is served, at most CLIENTS_MAX are kept, and a client
 * with few connections does not lose them. */
static void many_connections(void **state)
{
	struct server *s = *state;
	int honest = client(s, "GET /small HTTP/1.1\r\nConnection: close\r\n");
	int held[300];
	unsigned int closed = 0;
	const time_t end = time(NULL) + PATIENCE;

	for (size_t i = 0; i < COUNT_OF(held); i++)
		held[i] = client_from(s, "127.0.0.2", "GET /small HTTP/1.1\r\nX: never ends");
	assert_answer(s, GET("/small"), "HTTP/1.1 200");
	while (closed < COUNT_OF(held) - CLIENTS_MAX && time(NULL) < end) {
		closed = 0;
		for (size_t i = 0; i < COUNT_OF(held); i++)
			closed += is_closed(held[i]);
	}
	assert_in_range(closed, COUNT_OF(held) - CLIENTS_MAX, COUNT_OF(held) - CLIENTS_MAX + 2);
	/* The oldest one was closed. */
	assert_true(is_closed(held[0]));
	assert_false(is_closed(held[COUNT_OF(held) - 1]));
	assert_int_equal(send(honest, "\r\n", 2, 0), 2);
	expect(s, honest, "HTTP/1.1 200");
	close(honest);
	for (size_t i = 0; i < COUNT_OF(held); i++)
		close(held[i]);
}

/* A client that requests much and reads nothing cannot fill our memory: the number of versions of a
 * document is limited. */
static void unread_answers(void **state)
{
	struct server *s = *state;
	const time_t end = time(NULL) + PATIENCE;
	int greedy[8];
	size_t n = 0;
	char head[13] = "";

	while (n < COUNT_OF(greedy) && time(NULL) < end) {
		const unsigned int before = made;

		greedy[n] = client(s, GET("/large"));
		take(s, greedy[n], head, 12);
		if (made > before) {
			n++;
			if (!strcmp(head, "HTTP/1.1 503"))
				break;
		} else {
			close(greedy[n]); /* it shares an existing version */
		}
	}
	assert_string_equal(head, "HTTP/1.1 503");
	assert_int_equal(made, 4); /* 30 MiB are held, and there is no room for the fourth */
	/* Small documents are still served. */
	assert_answer(s, GET("/small"), "HTTP/1.1 200");
	/* When these clients are gone, there is room again. */
	while (n)
		close(greedy[--n]);
	while (strcmp(head, "HTTP/1.1 200") && time(NULL) < end) {
		int fd = client(s, GET("/large"));

		take(s, fd, head, 12);
		close(fd);
	}
	assert_string_equal(head, "HTTP/1.1 200");
}

/* While the owner's loop does not run, the health answer says so. */
static void owner_hangs(void **state)
{
	struct server *s = *state;
	const time_t end = time(NULL) + PATIENCE;
	char head[13] = "";
	int waits = client(s, GET("/small"));

	while (strcmp(head, "HTTP/1.1 503") && time(NULL) < end) {
		int fd = client(s, GET("/health"));

		take(NULL, fd, head, 12);
		close(fd);
	}
	assert_string_equal(head, "HTTP/1.1 503");
	while (strcmp(head, "HTTP/1.1 200") && time(NULL) < end) {
		int fd = client(s, GET("/health"));

		take(s, fd, head, 12);
		close(fd);
	}
	assert_string_equal(head, "HTTP/1.1 200");
	expect(s, waits, "HTTP/1.1 200");
	close(waits);
}

/* Clients leave, or are closed because others come, before their document is made. */
static void clients_go_while_they_wait(void **state)
{
	struct server *s = *state;
	int asking[CLIENTS_MAX + 60];
	unsigned int served = 0;
	int fd;

	for (size_t i = 0; i < COUNT_OF(asking); i++)
		asking[i] = client(s, GET("/small"));
	for (size_t i = COUNT_OF(asking) - 20; i < COUNT_OF(asking); i++)
		close(asking[i]);
	fd = client(s, GET("/health"));
	expect(NULL, fd, "HTTP/1.1 200"); /* so the server has all earlier ones */
	close(fd);
	for (size_t i = 0; i < COUNT_OF(asking) - 20; i++) {
		char head[12];

		served += take(s, asking[i], head, 12) == 12 && !memcmp(head, "HTTP/1.1 200", 12);
		close(asking[i]);
	}
	assert_in_range(served, CLIENTS_MAX - 30, CLIENTS_MAX);
}

/* The server ends while answers are under way or requested: nothing leaks or is freed twice. */
static void freed_with_unread_answers(void **state)
{
	struct server *s = *state;
	int fd[6];

	for (int i = 0; i < 3; i++) {
		fd[i] = client(s, GET("/large"));
		expect(s, fd[i], "HTTP/1.1 200");
	}
	for (int i = 3; i < 6; i++)
		fd[i] = client(s, GET("/small"));
	expect(NULL, client(s, GET("/health")), "HTTP/1.1 200"); /* so it has the others too */
	close(fd[4]);
}

static void addresses(void **state)
{
	static const char *const wrong[] = {"",		 "9586",       ":0",	      ":65536",
					    ":http",	 "[::1:",      "[]:9586",     "127.0.0.1:",
					    "name:1:2x", ":9586,half", ":9586,full,", ":9586full"};
	static const char *const good[] = {":9586", ":9586,full", "[::1]:1,full",
					   "192.0.2.1:65535"};
	struct server *s = *state;
	struct http *h;

	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		const struct http_params params = {
			.base = s->base, .address = wrong[i], .documents = documents, .n = 1};

		assert_int_equal(http_new(&params, &h), -EINVAL);
		assert_false(http_address_valid(wrong[i]));
	}
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		assert_true(http_address_valid(good[i]));
		assert_int_equal(http_address_full(good[i]), i == 1 || i == 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(requests, start, stop),
		cmocka_unit_test_setup_teardown(slow_readers, start, stop),
		cmocka_unit_test_setup_teardown(many_connections, start, stop),
		cmocka_unit_test_setup_teardown(unread_answers, start, stop),
		cmocka_unit_test_setup_teardown(owner_hangs, start_impatient, stop),
		cmocka_unit_test_setup_teardown(clients_go_while_they_wait, start, stop),
		cmocka_unit_test_setup_teardown(freed_with_unread_answers, start, stop),
		cmocka_unit_test_setup_teardown(addresses, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
