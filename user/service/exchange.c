/* SPDX-License-Identifier: Apache-2.0 */
#include "service/exchange.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

/* Bytes; no answer is longer: a report of 10,000 peers has 4 MiB. */
#define MAX_ANSWER (64u << 20)

int exchange_connect(const char *path, int *out)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
		const int err = -errno;

		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

/* Waits until the socket can be read or written. */
static int wait_until(int fd, short events, uint64_t deadline)
{
	struct pollfd p = {.fd = fd, .events = events};
	const uint64_t now = clock_now();
	int n;

	if (now >= deadline)
		return -ETIMEDOUT;
	n = poll(&p, 1, (int)((deadline - now) / 1000000 + 1));
	return n > 0 || (n < 0 && errno == EINTR) ? 0 : n ? -errno : -ETIMEDOUT;
}

static int send_all(int fd, const char *text, size_t len, uint64_t deadline)
{
	while (len) {
		const ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
		int err;

		if (n > 0) {
			text += n;
			len -= (size_t)n;
			continue;
		}
		err = errno == EAGAIN  ? wait_until(fd, POLLOUT, deadline)
		      : errno == EINTR ? 0
				       : -EPIPE;
		if (err)
			return err;
	}
	return 0;
}

struct answer {
	char *text;
	size_t len, room;
};

static int grow(struct answer *a)
{
	const size_t more = a->room ? 2 * a->room : 4096;
	char *fresh;

	if (a->len + 1 < a->room)
		return 0;
	if (more > MAX_ANSWER)
		return -EPROTO;
	fresh = realloc(a->text, more);
	if (!fresh)
		return -ENOMEM;
	a->text = fresh;
	a->room = more;
	return 0;
}

static bool is_complete(const struct answer *a)
{
	return a->len >= 2 && !memcmp(a->text + a->len - 2, "\n\n", 2);
}

static int receive(int fd, struct answer *a, uint64_t deadline)
{
	while (!is_complete(a)) {
		int err = grow(a);
		ssize_t n;

		if (err)
			return err;
		n = recv(fd, a->text + a->len, a->room - a->len - 1, 0);
		if (n > 0)
			a->len += (size_t)n;
		else if (!n)
			return -EPIPE;
		else
			err = errno == EAGAIN  ? wait_until(fd, POLLIN, deadline)
			      : errno == EINTR ? 0
					       : -EPIPE;
		if (err)
			return err;
	}
	a->text[a->len] = 0;
	return 0;
}

/* The last line is "errno=N". */
static int take_result(const struct answer *a, int *result)
{
	const char *last = NULL;
	char *end;
	long n;

	for (const char *at = a->text; (at = strstr(at, "errno=")); at++)
		if (at == a->text || at[-1] == '\n')
			last = at + strlen("errno=");
	if (!last || strlen(a->text) != a->len)
		return -EPROTO;
	n = strtol(last, &end, 10);
	if (end == last || *end != '\n' || n > 0 || n < -4095)
		return -EPROTO;
	*result = (int)n;
	return 0;
}

int exchange(int fd, const char *request, size_t len, unsigned int seconds, char **answer,
	     int *result)
{
	const uint64_t deadline = clock_now() + seconds * 1000000000ull;
	struct answer a = {.text = NULL};
	int err = send_all(fd, request, len, deadline);

	if (!err)
		err = receive(fd, &a, deadline);
	if (!err)
		err = take_result(&a, result);
	if (err) {
		free(a.text);
		return err;
	}
	*answer = a.text;
	return 0;
}
