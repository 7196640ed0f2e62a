/* SPDX-License-Identifier: Apache-2.0 */
#include "node/status.h"

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

/* Readers that do not read are sent away. */
#define READER_SECONDS 5

struct status {
	struct evconnlistener *listener;
	struct report_input (*describe)(void *context);
	void *context;
};

static void on_done(struct bufferevent *reader, void *context)
{
	(void)context;
	bufferevent_free(reader);
}

static void on_trouble(struct bufferevent *reader, short what, void *context)
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
	const struct timeval patience = {READER_SECONDS, 0};
	struct status *s = context;
	struct bufferevent *reader = bufferevent_socket_new(evconnlistener_get_base(listener), fd,
							    BEV_OPT_CLOSE_ON_FREE);
	const struct report_input in = s->describe(s->context);
	char *text = reader ? report_status(&in) : NULL;

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
	bufferevent_setcb(reader, NULL, on_done, on_trouble, NULL);
	bufferevent_set_timeouts(reader, NULL, &patience);
	bufferevent_enable(reader, EV_WRITE);
}

int status_new(struct event_base *base, struct report_input (*describe)(void *context),
	       void *context, struct status **out)
{
	struct sockaddr_un where = {.sun_family = AF_UNIX, .sun_path = STATUS_SOCKET};
	struct status *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->describe = describe;
	s->context = context;
	unlink(STATUS_SOCKET); /* a dead agent's: the living one has the lock */
	s->listener = evconnlistener_new_bind(base, on_reader, s,
					      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 8,
					      (struct sockaddr *)&where, sizeof(where));
	if (!s->listener || chmod(STATUS_SOCKET, 0600)) {
		int err = errno ? -errno : -EIO;

		status_free(s);
		return err;
	}
	*out = s;
	return 0;
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
