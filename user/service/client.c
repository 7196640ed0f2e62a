/* SPDX-License-Identifier: Apache-2.0 */
/* The connection to the tunnel process: finding or starting it, news, keys. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock_file.h"
#include "base/version.h"
#include "device/wg/wg_values.h"
#include "service/client_internal.h"
#include "service/exchange.h"
#include "service/report.h"
#include "service/starter.h"

/* How often we look for a tunnel process, and when we start another one that may have ended before
 * it answered. */
#define POLL_MS	    10
#define RESTART_SEC 2
/* How long the start of an agent waits for the tunnel process that it starts. */
#define START_SEC 10
/* How long an answer may take; making a device takes longest. And how long the first one may take: a
 * process that does not answer it hangs. */
#define ANSWER_SEC  20
#define HELLO_SEC   5
#define NEWS_LENGTH 4096

/* --- requests --- */

static void disconnect(struct client *c, const char *problem, int err);
static void send_log_settings(struct client *c);

int client_request(struct client *c, struct evbuffer *request, char **answer)
{
	const size_t len = evbuffer_get_length(request);
	const char *text = (const char *)evbuffer_pullup(request, -1);
	char *got;
	int result, err;

	if (answer)
		*answer = NULL;
	if (c->fd < 0)
		return -ENOTCONN;
	if (len && !text)
		return -ENOMEM;
	err = exchange(c->fd, text, len, c->greeted ? ANSWER_SEC : HELLO_SEC, &got, &result);
	if (err) {
		disconnect(c, "no answer", err);
		return err;
	}
	if (answer && !result)
		*answer = got;
	else
		free(got);
	return result;
}

int client_ask(struct client *c, char **answer, const char *format, ...)
{
	struct evbuffer *request = evbuffer_new();
	va_list arguments;
	int err;

	if (!request)
		return -ENOMEM;
	va_start(arguments, format);
	evbuffer_add_vprintf(request, format, arguments);
	va_end(arguments);
	err = client_request(c, request, answer);
	evbuffer_free(request);
	return err;
}

/* --- news --- */

static void take_news(struct client *c, const char *text)
{
	char event[16], id[SERVICE_ID_MAX + 1];
	struct client_device *d;

	if (!report_value(text, "event", event, sizeof(event)) ||
	    !report_value(text, "device", id, sizeof(id)))
		return; /* from a newer process */
	TAILQ_FOREACH (d, &c->devices, list) {
		if (strcmp(d->id, id) != 0)
			continue;
		client_device_news(d, event);
		return;
	}
}

static void on_news(struct bufferevent *stream, void *context)
{
	struct evbuffer *in = bufferevent_get_input(stream);
	struct client *c = context;

	for (;;) {
		const struct evbuffer_ptr end = evbuffer_search(in, "\n\n", 2, NULL);
		char text[NEWS_LENGTH];

		if (end.pos < 0 || end.pos + 2 >= NEWS_LENGTH)
			break;
		evbuffer_remove(in, text, (size_t)end.pos + 2);
		text[end.pos + 2] = 0;
		take_news(c, text);
		if (c->news != stream)
			return; /* the connection ended meanwhile */
	}
}

static void on_news_end(struct bufferevent *stream, short what, void *context)
{
	(void)stream;
	(void)what;
	disconnect(context, "it ended", -EPIPE);
}

static int listen_for_news(struct client *c)
{
	int fd, err;

	if (!c->params.base)
		return 0;
	err = exchange_connect(SERVICE_SOCKET, &fd);
	if (err)
		return err;
	c->news = bufferevent_socket_new(c->params.base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!c->news) {
		close(fd);
		return -ENOMEM;
	}
	bufferevent_setcb(c->news, on_news, NULL, on_news_end, c);
	bufferevent_enable(c->news, EV_READ | EV_WRITE);
	return bufferevent_write(c->news, "events=1\n\n", strlen("events=1\n\n"));
}

/* --- the connection --- */

static void close_connection(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	if (c->news)
		bufferevent_free(c->news);
	c->fd = -1;
	c->news = NULL;
	c->greeted = false;
}

static void disconnect(struct client *c, const char *problem, int err)
{
	const struct timeval now = {0, 0};
	struct client_device *d;

	if (c->fd < 0)
		return;
	/* One that is ending may still accept connections for a moment: nothing new is logged then. */
	if (c->greeted || err == -ETIMEDOUT)
		log_warn("the tunnel process is gone", "problem=\"%s\" errno=%d", problem, -err);
	c->lost = c->greeted;
	close_connection(c);
	c->started = 0;
	TAILQ_FOREACH (d, &c->devices, list)
		d->ended = true;
	if (c->retry)
		event_add(c->retry, &now);
}

/* Another version that speaks another protocol is no tunnel process of ours. */
static int greet(struct client *c)
{
	char *answer, version[64] = "", pid[16] = "";
	int err = client_ask(c, &answer, "hello=%d\n\n", SERVICE_PROTOCOL);

	if (err == -EPROTONOSUPPORT)
		log_error(
			"the tunnel process speaks another protocol",
			"ours=%d needs=\"the tunnel process and the agent of one version: restart the tunnel process\"",
			SERVICE_PROTOCOL);
	if (err)
		return err;
	c->greeted = true;
	report_value(answer, "version", version, sizeof(version));
	report_value(answer, "pid", pid, sizeof(pid));
	c->rights = (struct client_rights){.user = ""};
	report_value(answer, "user", c->rights.user, sizeof(c->rights.user));
	c->rights.limited = report_value(answer, "capabilities", c->rights.capabilities,
					 sizeof(c->rights.capabilities));
	free(answer);
	log_info("the tunnel process answers", "version=%s pid=%s user=%s", version, pid,
		 c->rights.user);
	if (strcmp(version, PODVEIL_VERSION) != 0)
		log_warn("the tunnel process is of another version", "its=%s ours=%s", version,
			 PODVEIL_VERSION);
	return 0;
}

/* One attempt. 0 or -errno. */
static int try_connect(struct client *c)
{
	int err = exchange_connect(SERVICE_SOCKET, &c->fd);

	if (err)
		return err;
	err = greet(c);
	if (!err)
		err = listen_for_news(c);
	if (err)
		close_connection(c);
	else
		send_log_settings(c);
	return err;
}

/* Nobody listens. */
static bool is_absent(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED;
}

static void start_one(struct client *c)
{
	const uint64_t now = clock_now();
	int err;

	if (c->params.starter < 0 || (c->started && now - c->started < RESTART_SEC * 1000000000ull))
		return;
	c->started = now;
	err = starter_start(c->params.starter, c->level, c->format);
	if (err)
		log_error("the tunnel process could not be started", "errno=%d error=\"%s\"", -err,
			  strerror(-err));
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
	const struct timeval pause = {0, POLL_MS * 1000}, long_pause = {1, 0};
	struct client *c = context;
	int err;

	(void)fd;
	(void)what;
	if (c->lost)
		c->params.lost(c->params.context);
	c->lost = false;
	if (c->fd >= 0)
		return;
	err = try_connect(c);
	if (!err) {
		c->params.connected(c->params.context);
		return;
	}
	if (is_absent(err))
		start_one(c);
	/* One that hangs, or speaks another protocol, is asked less often. */
	event_add(c->retry, err == -ETIMEDOUT || err == -EPROTONOSUPPORT ? &long_pause : &pause);
}

void client_wait(struct client *c)
{
	const uint64_t deadline = clock_now() + START_SEC * 1000000000ull;

	while (c->started && c->fd < 0 && clock_now() < deadline)
		if (try_connect(c))
			usleep(POLL_MS * 1000);
}

/* --- making and freeing --- */

int client_new(const struct client_params *params, struct client **out)
{
	const struct timeval soon = {0, POLL_MS * 1000};
	struct client *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->params = *params;
	c->fd = -1;
	c->level = log_level_get();
	TAILQ_INIT(&c->devices);
	if (params->base) {
		c->retry = evtimer_new(params->base, on_retry, c);
		if (!c->retry) {
			free(c);
			return -ENOMEM;
		}
	}
	err = try_connect(c);
	if (err && is_absent(err))
		start_one(c);
	if (err && !c->started && params->base)
		log_warn("no tunnel process answers yet", "socket=" SERVICE_SOCKET);
	if (err && c->retry)
		event_add(c->retry, &soon);
	*out = c;
	return 0;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	close_connection(c);
	if (c->retry)
		event_free(c->retry);
	free(c);
}

const struct client_rights *client_rights(const struct client *c)
{
	return c && c->greeted ? &c->rights : NULL;
}

bool client_connected(const struct client *c)
{
	return c->fd >= 0;
}

static void send_log_settings(struct client *c)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};

	client_ask(c, NULL, "log=1\nlevel=%s\nformat=%s\n\n", levels[c->level],
		   c->format == LOG_FORMAT_JSON ? "json" : "text");
}

void client_set_log(struct client *c, enum log_level level, enum log_format format)
{
	if (level == c->level && format == c->format)
		return;
	c->level = level;
	c->format = format;
	send_log_settings(c);
}

int client_quit(struct client *c)
{
	const int err = client_ask(c, NULL, "quit=1\n\n");

	if (err)
		return err;
	/* Its lock is the last thing that it gives up. */
	for (int i = 0; i < ANSWER_SEC * 1000 / POLL_MS && lock_file_held(SERVICE_LOCK); i++)
		usleep(POLL_MS * 1000);
	if (c->retry)
		event_del(c->retry);
	close_connection(c);
	return 0;
}

/* --- keys --- */

static int take_key(char *answer, uint8_t public_key[KEY_SIZE])
{
	char hex[2 * KEY_SIZE + 1];
	const bool good = report_value(answer, "public_key", hex, sizeof(hex)) &&
			  wg_parse_key(hex, public_key);

	free(answer);
	return good ? 0 : -EPROTO;
}

int client_key(struct client *c, const char *id, uint8_t public_key[KEY_SIZE])
{
	char *answer;
	const int err = client_ask(c, &answer, "key=%s\n\n", id);

	return err ? err : take_key(answer, public_key);
}

int client_take_key(struct client *c, const char *id, const char *from,
		    uint8_t public_key[KEY_SIZE])
{
	char *answer;
	const int err = client_ask(c, &answer, "take_key=%s\nfrom=%s\n\n", id, from);

	return err ? err : take_key(answer, public_key);
}

int client_forget_key(struct client *c, const char *id)
{
	return client_ask(c, NULL, "forget_key=%s\n\n", id);
}

int client_remove(struct client *c, const char *id)
{
	const int err = client_ask(c, NULL, "drop=%s\n\n", id);

	return err && err != -ENODEV ? err : client_forget_key(c, id);
}
