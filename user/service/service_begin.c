/* SPDX-License-Identifier: Apache-2.0 */
/* How a tunnel process begins: it takes over from a living one, or anew; and how it hands over. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/event_wait.h"
#include "base/lock_file.h"
#include "device/handover/successor.h"
#include "device/wg/request_server.h"
#include "device/wg/wg_socket.h"
#include "service/service_internal.h"

static size_t what_to_hand_over(struct handed_device out[RECORD_MAX_DEVICES], void *context)
{
	struct service *s = context;
	struct hosted *h;
	size_t n = 0;

	TAILQ_FOREACH (h, &s->hosted, list) {
		if (!hosted_runs(h) || n == RECORD_MAX_DEVICES)
			continue;
		out[n++] = (struct handed_device){
			.device = h->device,
			.wg_fd = h->socket ? wg_socket_listener(h->socket) : -1,
			.owner = h->id,
		};
	}
	return n;
}

/* In the order of take_files(). */
static size_t files_to_hand_over(int out[CHANNEL_MORE], void *context)
{
	const struct service *s = context;

	out[0] = s->lock_file;
	out[1] = request_server_listener(s->server);
	return 2;
}

static void let_others_take_over(struct service *s, int listener)
{
	const struct predecessor_params params = {
		.base = s->base,
		.name = SERVICE_HANDOVER,
		.listener = listener,
		.devices = what_to_hand_over,
		.more = files_to_hand_over,
		.context = s,
		.instance = s->instance,
		.handed_over = &s->handed_over,
	};
	const int err = predecessor_new(&params, &s->predecessor);

	if (err)
		log_warn("the next tunnel process cannot take over without loss", "errno=%d", -err);
}

/* The device's owner is known only when the record is here, so its callbacks get the service's waiting one. */
static void params_of(size_t i, const char *served_name, struct device_params *out, void *context)
{
	struct service *s = context;

	(void)served_name;
	if (!s->waiting[i])
		s->waiting[i] = hosted_new(s->base, "");
	if (s->waiting[i])
		hosted_params(s->waiting[i], out);
}

static int take_device(struct service *s, struct successor *from, size_t i)
{
	struct hosted *h = s->waiting[i];

	if (!h)
		return -ENOMEM;
	snprintf(h->id, sizeof(h->id), "%s", successor_owner(from, i));
	h->news = service_publish;
	h->context = s;
	TAILQ_INSERT_TAIL(&s->hosted, h, list);
	s->n_hosted++;
	s->waiting[i] = NULL;
	return hosted_take_device(h, successor_device(from, i), successor_wg_fd(from, i));
}

static int take_files(struct service *s, struct successor *from)
{
	int files[CHANNEL_MORE];

	if (successor_more(from, files) != 2)
		return -EPROTO;
	s->lock_file = files[0];
	return service_open(s, files[1]);
}

/* -ENOENT, -EALREADY: as successor_take(). */
static int take_all(struct service *s)
{
	const struct successor_params params = {
		.name = SERVICE_HANDOVER,
		.params = params_of,
		.context = s,
		.instance = s->instance,
	};
	struct successor *from;
	struct hosted *h;
	int err = successor_take(&params, &from);

	if (err)
		return err;
	for (size_t i = 0; i < successor_count(from) && !err; i++)
		err = take_device(s, from, i);
	if (!err)
		err = take_files(s, from);
	if (!err)
		let_others_take_over(s, successor_listener(from));
	if (!err) {
		successor_handed_over(from, &s->handed_over);
		err = successor_begin(from);
	}
	if (err)
		return err;
	TAILQ_FOREACH (h, &s->hosted, list)
		hosted_load_key(h); /* a failure is reported when the agent asks for the key */
	return 0;
}

/* -EWOULDBLOCK: another process has the lock. */
static int begin_anew(struct service *s, const char **step)
{
	int err;

	*step = "lock (another tunnel process runs on this machine)";
	err = lock_file_take(SERVICE_LOCK, &s->lock_file);
	if (err)
		return err;
	/* First this, so that whoever asks by the other socket gets a true answer. */
	let_others_take_over(s, -1);
	*step = "socket " SERVICE_SOCKET;
	err = service_open(s, -1);
	if (err) {
		predecessor_free(s->predecessor);
		close(s->lock_file);
	}
	return err;
}

int service_begin(struct service *s, bool take_over, const char **step)
{
	bool waits = false;
	int err;

	for (;;) {
		*step = "taking over from the running process";
		err = take_over ? take_all(s) : -ENOENT;
		if (err == -EALREADY)
			take_over = false;
		if (err == -ENOENT || err == -EALREADY)
			err = begin_anew(s, step);
		if (err != -EWOULDBLOCK || !*s->instance)
			return err;
		if (!waits)
			log_info(
				"another tunnel process runs on this machine: this one waits until it ends",
				"lock=%s instance=%s", SERVICE_LOCK, s->instance);
		waits = true;
		err = event_pause(s->base, LOCK_FILE_PAUSE_MS);
		if (err)
			return err;
	}
}
