/* SPDX-License-Identifier: Apache-2.0 */
#include "service/service.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/lock_file.h"
#include "base/version.h"
#include "device/handover/predecessor.h"
#include "device/wg/request_server.h"
#include "device/wg/wg_socket.h"
#include "device/wg/wg_values.h"
#include "service/service_answer.h"
#include "service/service_internal.h"

/* More than any agent has. */
#define MAX_HOSTED 16
/* How long the answer to `quit` may take to be sent. */
#define QUIT_MS 100

struct exchange {
	struct service *service;
	struct service_request *request;
	struct hosted *hosted; /* NULL: the request is about no device */
	struct request_client *client;
	struct evbuffer *out;
};

/* --- news --- */

void service_publish(struct hosted *h, enum hosted_event e, void *context)
{
	static const char *const names[] = {
		[HOSTED_SESSIONS] = "sessions",
		[HOSTED_RENAMED] = "renamed",
		[HOSTED_ENDED] = "ended",
	};
	struct service *s = context;
	char text[128];

	snprintf(text, sizeof(text), "event=%s\ndevice=%s\n\n", names[e], h->id);
	request_server_tell(s->server, text);
}

/* --- the requests, one function each: 0 or -errno --- */

static int hello(struct exchange *x)
{
	const struct service *s = x->service;

	evbuffer_add_printf(x->out, "protocol=%d\nversion=%s\npid=%d\nhands_over=%d\n",
			    SERVICE_PROTOCOL, PODVEIL_VERSION, getpid(), s->predecessor != NULL);
	evbuffer_add_printf(x->out, "user=%u\n", geteuid());
	if (s->capabilities)
		evbuffer_add_printf(x->out, "capabilities=%s\n", s->capabilities);
	if (*s->instance)
		evbuffer_add_printf(x->out, "instance=%s\n", s->instance);
	for (size_t i = 0; i < s->handed_over.n; i++)
		evbuffer_add_printf(x->out, "handed_over=%s\n", s->handed_over.names[i]);
	return x->request->protocol == SERVICE_PROTOCOL ? 0 : -EPROTONOSUPPORT;
}

static int events(struct exchange *x)
{
	request_client_listen(x->client);
	return 0;
}

static int set_log(struct exchange *x)
{
	if (x->request->has & LINE_LEVEL)
		log_level_set(x->request->level);
	if (x->request->has & LINE_FORMAT)
		log_format_set(x->request->format);
	return 0;
}

static int quit(struct exchange *x)
{
	const struct timeval soon = {.tv_usec = QUIT_MS * 1000};
	struct hosted *h;

	TAILQ_FOREACH (h, &x->service->hosted, list)
		if (h->device)
			return -EBUSY;
	return event_base_loopexit(x->service->base, &soon) ? -ENOMEM : 0;
}

static int key(struct exchange *x)
{
	const int err = hosted_load_key(x->hosted);

	if (!err)
		wg_put_key(x->out, "public_key", x->hosted->public_key);
	return err;
}

static int take_key(struct exchange *x)
{
	const int err = hosted_take_key(x->hosted, x->request->from);

	return err ? err : key(x);
}

static int forget_key(struct exchange *x)
{
	return hosted_forget_key(x->hosted);
}

static int make(struct exchange *x)
{
	bool made;
	const int err = hosted_make(x->hosted, x->request, &made);

	if (err)
		return err;
	evbuffer_add_printf(x->out, "name=%s\nifindex=%d\nmade=%d\n",
			    device_name(x->hosted->device), device_ifindex(x->hosted->device),
			    made);
	return key(x);
}

static int drop(struct exchange *x)
{
	if (!x->hosted->device)
		return -ENODEV;
	hosted_drop(x->hosted);
	return 0;
}

static int set(struct exchange *x)
{
	const int err = hosted_set(x->hosted, x->request);

	if (!err)
		evbuffer_add_printf(x->out, "version=%llu\n",
				    (unsigned long long)device_version(x->hosted->device));
	return err;
}

static int get(struct exchange *x)
{
	if (!hosted_runs(x->hosted))
		return -ENODEV;
	service_answer_get(x->out, x->hosted->device);
	return 0;
}

static int counters(struct exchange *x)
{
	if (!hosted_runs(x->hosted))
		return -ENODEV;
	service_answer_counters(x->out, x->hosted->device);
	return 0;
}

/* A peer that is gone needs no handshake: that is no error. */
static int handshake(struct exchange *x)
{
	const struct device_config *c = &x->request->config;

	if (!hosted_runs(x->hosted))
		return -ENODEV;
	for (size_t i = 0; i < c->n_peers; i++)
		device_start_handshake(x->hosted->device, c->peers[i].public_key,
				       x->request->anyway);
	return 0;
}

static int repair(struct exchange *x)
{
	const int done[] = {hosted_repair(x->hosted), request_server_repair(x->service->server),
			    lock_file_repair(SERVICE_LOCK, &x->service->lock_file)};
	int sum = 0, err = 0;

	for (size_t i = 0; i < sizeof(done) / sizeof(*done); i++) {
		if (done[i] > 0)
			sum += done[i];
		else if (!err)
			err = done[i];
	}
	if (!err)
		evbuffer_add_printf(x->out, "repaired=%d\n", sum);
	return err;
}

static int (*const requests[SERVICE_VERBS])(struct exchange *x) = {
	[SERVICE_HELLO] = hello,
	[SERVICE_EVENTS] = events,
	[SERVICE_LOG] = set_log,
	[SERVICE_QUIT] = quit,
	[SERVICE_KEY] = key,
	[SERVICE_TAKE_KEY] = take_key,
	[SERVICE_FORGET_KEY] = forget_key,
	[SERVICE_MAKE] = make,
	[SERVICE_DROP] = drop,
	[SERVICE_SET] = set,
	[SERVICE_GET] = get,
	[SERVICE_COUNTERS] = counters,
	[SERVICE_HANDSHAKE] = handshake,
	[SERVICE_REPAIR] = repair,
};

/* --- finding what a request is about --- */

static int find_hosted(struct service *s, const char *id, struct hosted **out)
{
	struct hosted *h;

	TAILQ_FOREACH (h, &s->hosted, list) {
		if (strcmp(h->id, id) != 0)
			continue;
		*out = h;
		return 0;
	}
	if (s->n_hosted == MAX_HOSTED)
		return -ENOSPC;
	h = hosted_new(s->base, id);
	if (!h)
		return -ENOMEM;
	h->news = service_publish;
	h->context = s;
	TAILQ_INSERT_TAIL(&s->hosted, h, list);
	s->n_hosted++;
	*out = h;
	return 0;
}

/* Forgets one that has nothing: neither a key nor a device. */
static void release(struct service *s, struct hosted *h)
{
	if (h->has_key || h->device)
		return;
	TAILQ_REMOVE(&s->hosted, h, list);
	s->n_hosted--;
	hosted_free(h);
}

static int carry_out(struct exchange *x)
{
	int err = *x->request->id ? find_hosted(x->service, x->request->id, &x->hosted) : 0;

	if (!err)
		err = requests[x->request->verb](x);
	if (err)
		log_debug("a request could not be carried out", "request=%s device=%s errno=%d",
			  service_verb_name(x->request->verb), x->request->id, -err);
	if (x->hosted)
		release(x->service, x->hosted);
	return err;
}

static bool answer(void *context, struct request_client *client, const char *text, size_t len,
		   struct evbuffer *out)
{
	struct service_request r;
	struct exchange x = {.service = context, .request = &r, .client = client, .out = out};
	const char *problem;
	size_t line;
	int err = service_request_parse(text, len, &r, &problem, &line);

	if (err) {
		log_warn("a request to the tunnel process was refused", "line=%zu problem=\"%s\"",
			 line, problem);
	} else {
		err = carry_out(&x);
		service_request_fini(&r);
	}
	request_put_errno(out, err);
	return true;
}

/* --- making and freeing --- */

int service_open(struct service *s, int listener)
{
	const struct request_server_params params = {
		.base = s->base,
		.path = SERVICE_SOCKET,
		.directory_mode = 0700,
		.answer = answer,
		.context = s,
		.listener = listener,
	};

	return request_server_new(&params, &s->server);
}

int service_new(const struct service_params *params, struct service **out)
{
	struct service *s = calloc(1, sizeof(*s));
	const char *step;
	int err;

	if (!s)
		return -ENOMEM;
	s->base = params->base;
	s->instance = params->instance ? params->instance : "";
	s->capabilities = params->capabilities;
	TAILQ_INIT(&s->hosted);
	err = service_begin(s, params->take_over, &step);
	if (!err) {
		*out = s;
		return 0;
	}
	if (err != -ECANCELED)
		log_error("the tunnel process cannot start", "step=\"%s\" errno=%d error=\"%s\"",
			  step, -err, strerror(-err));
	free(s);
	return err;
}

void service_free(struct service *s)
{
	struct hosted *h;

	if (!s)
		return;
	predecessor_free(s->predecessor);
	request_server_free(s->server);
	while ((h = TAILQ_FIRST(&s->hosted))) {
		TAILQ_REMOVE(&s->hosted, h, list);
		hosted_free(h);
	}
	unlink(SERVICE_LOCK);
	close(s->lock_file);
	free(s);
}
