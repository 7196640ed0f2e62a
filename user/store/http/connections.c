/* SPDX-License-Identifier: Apache-2.0 */
#include "store/http/connections.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#define CONNECT_MS 10000

struct connections {
	struct event_base *base;
	CURLM *multi;
	struct event *on_timer;
	bool (*done)(void *context, CURL *transfer, CURLcode result);
	void *context;
};

/* --- called by the event loop --- */

static void report_ended(struct connections *c)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(c->multi, &left)))
		if (m->msg == CURLMSG_DONE && !c->done(c->context, m->easy_handle, m->data.result))
			return;
}

static void on_socket_ready(evutil_socket_t fd, short what, void *context)
{
	struct connections *c = context;
	int running;

	curl_multi_socket_action(c->multi, fd,
				 (what & EV_READ ? CURL_CSELECT_IN : 0) |
					 (what & EV_WRITE ? CURL_CSELECT_OUT : 0),
				 &running);
	report_ended(c);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct connections *c = context;
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	report_ended(c);
}

/* --- called by libcurl --- */

static int want_socket(CURL *transfer, curl_socket_t fd, int what, void *context, void *per_socket)
{
	struct connections *c = context;
	struct event *e = per_socket;

	(void)transfer;
	if (e)
		event_free(e);
	e = NULL;
	if (what != CURL_POLL_REMOVE) {
		e = event_new(c->base, fd,
			      (short)((what & CURL_POLL_IN ? EV_READ : 0) |
				      (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST),
			      on_socket_ready, c);
		if (!e || event_add(e, NULL))
			return -1;
	}
	curl_multi_assign(c->multi, fd, e);
	return 0;
}

static int want_timer(CURLM *multi, long ms, void *context)
{
	const struct timeval delay = {ms / 1000, ms % 1000 * 1000};
	struct connections *c = context;

	(void)multi;
	if (ms < 0)
		evtimer_del(c->on_timer);
	else
		evtimer_add(c->on_timer, &delay);
	return 0;
}

/* Lets the kernel find dead connections by itself. */
static int on_socket(void *context, curl_socket_t fd, curlsocktype purpose)
{
	const int idle = 10, interval = 5, count = 3, unacknowledged = 20000, on = 1;

	(void)context;
	(void)purpose;
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof(unacknowledged));
	return CURL_SOCKOPT_OK;
}

/* --- transfers --- */

int connections_add(struct connections *c, CURL *transfer)
{
	curl_easy_setopt(transfer, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(transfer, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(transfer, CURLOPT_PIPEWAIT, 1L);
	curl_easy_setopt(transfer, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(transfer, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(transfer, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(transfer, CURLOPT_SOCKOPTFUNCTION, on_socket);
	return curl_multi_add_handle(c->multi, transfer) ? -ENOMEM : 0;
}

void connections_remove(struct connections *c, CURL *transfer)
{
	curl_multi_remove_handle(c->multi, transfer);
}

long connections_port(CURL *transfer)
{
	long port = 0;

	curl_easy_getinfo(transfer, CURLINFO_LOCAL_PORT, &port);
	return port;
}

bool connections_shared(CURL *transfer)
{
	long version = 0;

	curl_easy_getinfo(transfer, CURLINFO_HTTP_VERSION, &version);
	return version >= CURL_HTTP_VERSION_2_0;
}

/* --- making and freeing --- */

struct connections *connections_new(struct event_base *base,
				    bool (*done)(void *context, CURL *transfer, CURLcode result),
				    void *context)
{
	struct connections *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->base = base;
	c->done = done;
	c->context = context;
	c->on_timer = evtimer_new(base, on_timer, c);
	c->multi = c->on_timer ? curl_multi_init() : NULL;
	if (!c->multi) {
		connections_free(c);
		return NULL;
	}
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	return c;
}

void connections_free(struct connections *c)
{
	if (!c)
		return;
	if (c->multi)
		curl_multi_cleanup(c->multi);
	if (c->on_timer)
		event_free(c->on_timer);
	free(c);
}
