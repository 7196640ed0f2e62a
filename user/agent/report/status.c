/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/report/status.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A connection is closed if its reader does not read for this long. */
#define READER_SECONDS 5

struct status {
	struct event_base *base;
	struct evconnlistener *listener;
	ino_t inode; /* of the socket's file */
	struct report_input (*describe)(void *context);
	void *context;
};

static void on_done(struct bufferevent *reader, void *context)
{
	(void)context;
	bufferevent_free(reader);
}

static void on_watch_problem(struct bufferevent *reader, short what, void *context)
{
	(void)what;
	(void)context;
	bufferevent_free(reader);
}

static void free_text(const void *data, size_t len, void *text)
{
	(void)data;
	(void)len;
	free(text);
}

static void on_reader(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from,
		      int from_len, void *context)
{
	const struct timeval timeout = {READER_SECONDS, 0};
	struct status *s = context;
	struct bufferevent *reader = bufferevent_socket_new(evconnlistener_get_base(listener), fd,
							    BEV_OPT_CLOSE_ON_FREE);
	const struct report_input in = s->describe(s->context);
	char *text = reader ? report_status_text(&in) : NULL;

	(void)from;
	(void)from_len;
	if (!text) {
		if (reader)
			bufferevent_free(reader);
		else
			close(fd);
		return;
	}
	evbuffer_add_reference(bufferevent_get_output(reader), text, strlen(text), free_text, text);
	bufferevent_setcb(reader, NULL, on_done, on_watch_problem, NULL);
	bufferevent_set_timeouts(reader, NULL, &timeout);
	bufferevent_enable(reader, EV_WRITE);
}

/* Remembers the socket's inode, to notice when somebody removes or replaces the file. */
static int open_listener(struct status *s)
{
	struct sockaddr_un where = {.sun_family = AF_UNIX, .sun_path = STATUS_SOCKET};
	struct evconnlistener *fresh;
	struct stat there;

	unlink(STATUS_SOCKET); /* no running agent uses it: we have the lock */
	fresh = evconnlistener_new_bind(s->base, on_reader, s,
					LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 8,
					(struct sockaddr *)&where, sizeof(where));
	if (!fresh || chmod(STATUS_SOCKET, 0600) || stat(STATUS_SOCKET, &there)) {
		int err = errno ? -errno : -EIO;

		if (fresh)
			evconnlistener_free(fresh);
		return err;
	}
	if (s->listener)
		evconnlistener_free(s->listener);
	s->listener = fresh;
	s->inode = there.st_ino;
	return 0;
}

int status_new(struct event_base *base, struct report_input (*describe)(void *context),
	       void *context, struct status **out)
{
	struct status *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->base = base;
	s->describe = describe;
	s->context = context;
	err = open_listener(s);
	if (err)
		status_free(s);
	else
		*out = s;
	return err;
}

int status_repair(struct status *s)
{
	struct stat there;
	int err;

	if (!stat(STATUS_SOCKET, &there) && there.st_ino == s->inode)
		return 0;
	err = open_listener(s);
	return err ? err : 1;
}

void status_free(struct status *s)
{
	if (!s)
		return;
	if (s->listener) {
		evconnlistener_free(s->listener);
		unlink(STATUS_SOCKET);
	}
	free(s);
}
