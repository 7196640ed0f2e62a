/* SPDX-License-Identifier: Apache-2.0 */
#include "device/handover/predecessor.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/version.h"
#include "device/handover/handover_offer.h"
#include "device/handover/transfer.h"
#include "handover/channel.h"
#include "handover/record_file.h"

/* How long the other process may prepare, while this one goes on. */
#define PREPARE_SECONDS 30
/* How long this one is held for the other: until it is ready, and until it says that it runs. */
#define READY_MS 5000
#define RUNS_MS	 2000

struct predecessor {
	struct predecessor_params params;
	char name[64];
	int listener;
	struct event *on_connect;
	/* The process that asks; -1: none. */
	int channel, other; /* its socket and its pidfd */
	bool offered;
	struct event *on_message;
	struct handed_device devices[RECORD_MAX_DEVICES];
	size_t n_devices;
};

static void end_talk(struct predecessor *p)
{
	if (p->on_message)
		event_free(p->on_message);
	p->on_message = NULL;
	if (p->channel >= 0)
		close(p->channel);
	if (p->other >= 0)
		close(p->other);
	p->channel = p->other = -1;
	p->offered = false;
	event_add(p->on_connect, NULL);
}

static void refuse(struct predecessor *p, const char *why)
{
	log_warn("another process does not take over", "name=%s why=\"%s\"", p->name, why);
	channel_send(p->channel, CHANNEL_ABORT, why, strlen(why), NULL, 0);
}

/* --- the record --- */

static int write_devices(struct predecessor *p, struct handover_record *r, int *fds, size_t *n_fds)
{
	int err = 0;

	r->state_version = (uint16_t)(RECORD_STATE + channel_test("old:state"));
	snprintf(r->build, sizeof(r->build), "%s", PODVEIL_VERSION);
	r->devices = calloc(p->n_devices ? p->n_devices : 1, sizeof(*r->devices));
	if (!r->devices)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_devices && !err; i++) {
		struct record_device *d = &r->devices[r->n_devices++];
		const char *owner = p->devices[i].owner;

		snprintf(d->owner, sizeof(d->owner), "%s", owner ? owner : "");
		err = device_write_record(p->devices[i].device, p->devices[i].wg_fd, d, fds, n_fds);
	}
	return err;
}

/* The names of all that have handed over, when this process has. */
static size_t write_names(const struct predecessor *p, uint8_t out[INSTANCES_ROOM])
{
	struct instances list = {.n = 0};

	if (p->params.handed_over)
		list = *p->params.handed_over;
	if (p->params.instance)
		instances_add(&list, p->params.instance);
	return instances_write(&list, out);
}

/* Sends record and descriptors. The memfd, or -errno. */
static int send_record(struct predecessor *p)
{
	struct handover_record r = {.n_devices = 0};
	int fds[CHANNEL_FDS], more[CHANNEL_MORE], record, err;
	size_t n_fds = 3;

	fds[1] = (int)syscall(SYS_pidfd_open, getpid(), 0);
	fds[2] = p->listener;
	err = fds[1] < 0 ? -errno : write_devices(p, &r, fds, &n_fds);
	record = err ? err : record_file_new(&r);
	handover_record_fini(&r);
	if (record >= 0) {
		const size_t n = p->params.more ? p->params.more(more, p->params.context) : 0;
		uint8_t names[INSTANCES_ROOM];
		const size_t length = write_names(p, names);

		fds[0] = record;
		memcpy(fds + n_fds, more, n * sizeof(*more));
		err = channel_send(p->channel, CHANNEL_RECORD, names, length, fds, n_fds + n);
		if (err) {
			record_file_wipe(record);
			close(record);
			record = err;
		}
	}
	if (fds[1] >= 0)
		close(fds[1]);
	return record;
}

/* --- the decision --- */

enum outcome {
	IT_RUNS,
	IT_FAILED,  /* and has sent nothing */
	IT_IS_LOST, /* it ended after it had said that it runs */
};

static bool wait_for(struct predecessor *p, enum channel_type wanted, int ms)
{
	struct channel_message m;
	const int err = channel_receive(p->channel, ms, &m);

	if (!err)
		channel_close_fds(&m);
	if (!err && m.type == CHANNEL_ABORT)
		log_warn("another process does not take over", "name=%s why=\"%.*s\"", p->name,
			 (int)m.length, (const char *)m.bytes);
	else if (err || m.type != wanted)
		log_warn("another process does not take over", "name=%s errno=%d why=\"%s\"",
			 p->name, -err,
			 err == -EPIPE	     ? "it has ended"
			 : err == -ETIMEDOUT ? "it did not answer in time"
					     : "it said something else");
	return !err && m.type == wanted;
}

/* The other process got GO, and did not say in time that it runs. It may be stopped, and go on later. But
 * once the channel is shut it cannot say that it runs, and so does not begin. Killing it is a second
 * line, which fails where it has another PID namespace, as in another pod. */
static enum outcome make_sure(struct predecessor *p)
{
	struct pollfd ended = {.fd = p->other, .events = POLLIN};
	struct channel_message m;

	channel_shut(p->channel);
	if (!channel_receive(p->channel, 0, &m)) {
		channel_close_fds(&m);
		if (m.type == CHANNEL_RUNS)
			return poll(&ended, 1, 0) == 1 ? IT_IS_LOST : IT_RUNS;
	}
	syscall(SYS_pidfd_send_signal, p->other, SIGKILL, NULL, 0);
	return IT_FAILED;
}

static enum outcome let_it_begin(struct predecessor *p)
{
	if (!wait_for(p, CHANNEL_READY, READY_MS))
		return IT_FAILED;
	channel_step("old", 5);
	if (channel_send(p->channel, CHANNEL_GO, NULL, 0, NULL, 0))
		return IT_FAILED;
	channel_step("old", 6);
	if (channel_test("old:deaf")) { /* does not hear that the other runs, until it has sent */
		struct pollfd said = {.fd = p->channel, .events = POLLIN};

		poll(&said, 1, RUNS_MS);
		usleep(300000);
		return make_sure(p);
	}
	return wait_for(p, CHANNEL_RUNS, RUNS_MS) ? IT_RUNS : make_sure(p);
}

static void end_this_process(struct predecessor *p)
{
	for (size_t i = 0; i < p->n_devices; i++)
		device_wipe(p->devices[i].device);
	log_info("another process has taken over", "name=%s", p->name);
	_exit(0);
}

static void hand_over(struct predecessor *p)
{
	enum outcome outcome = IT_FAILED;
	const uint64_t begin = clock_now();
	int record;

	channel_step("old", 2);
	for (size_t i = 0; i < p->n_devices; i++)
		device_hold(p->devices[i].device);
	channel_step("old", 3);
	record = send_record(p);
	channel_step("old", 4);
	if (record >= 0)
		outcome = let_it_begin(p);
	else
		log_error("the devices cannot be handed over", "name=%s errno=%d", p->name,
			  -record);
	record_file_wipe(record);
	if (record >= 0)
		close(record);
	if (outcome == IT_RUNS)
		end_this_process(p);
	/* It must not begin any more. */
	refuse(p, "the process before goes on");
	for (size_t i = 0; i < p->n_devices; i++)
		device_go_on(p->devices[i].device, outcome == IT_IS_LOST);
	log_warn("this process goes on", "name=%s held_ms=%llu sessions=%s", p->name,
		 (unsigned long long)((clock_now() - begin) / NSEC_PER_MSEC),
		 outcome == IT_IS_LOST ? "new" : "kept");
}

/* --- talking before --- */

/* Has the one that says HELLO had the devices before? */
static bool handed_over_before(const struct predecessor *p, const struct channel_message *m)
{
	char name[INSTANCE_MAX + 1];

	instances_read_one(m->bytes, m->length, 1, name);
	return *name && p->params.handed_over && instances_has(p->params.handed_over, name);
}

static void offer(struct predecessor *p, struct channel_message *m)
{
	struct handover_offer o;
	uint8_t bytes[CHANNEL_ROOM];
	size_t n;
	int err = -EPROTO;

	if (handed_over_before(p, m)) {
		refuse(p, "it handed over itself before");
	} else if (m->n_fds == 1) {
		p->other = m->fds[0];
		m->n_fds = 0;
		p->n_devices = p->params.devices(p->devices, p->params.context);
		handover_offer_make(&o, p->devices, p->n_devices);
		n = handover_offer_write(&o, bytes, sizeof(bytes));
		channel_step("old", 1);
		err = n ? channel_send(p->channel, CHANNEL_OFFER, bytes, n, NULL, 0) : -E2BIG;
	}
	channel_close_fds(m);
	p->offered = !err;
	if (err)
		end_talk(p);
}

static void on_message(evutil_socket_t fd, short what, void *context)
{
	const struct timeval patience = {.tv_sec = PREPARE_SECONDS};
	struct predecessor *p = context;
	struct channel_message m;
	const int err = what & EV_TIMEOUT ? -ETIMEDOUT : channel_receive(fd, 0, &m);

	if (!err && m.type == CHANNEL_HELLO && !p->offered) {
		offer(p, &m);
		if (p->channel >= 0)
			event_add(p->on_message, &patience);
		return;
	}
	if (!err)
		channel_close_fds(&m);
	if (!err && m.type == CHANNEL_TAKE && p->offered)
		hand_over(p);
	end_talk(p);
}

static void on_connect(evutil_socket_t fd, short what, void *context)
{
	const struct timeval patience = {.tv_sec = PREPARE_SECONDS};
	struct predecessor *p = context;

	(void)what;
	/* cppcheck-suppress nullPointer */
	p->channel = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	if (p->channel < 0)
		return;
	/* One after the other: the next one waits in the queue. */
	event_del(p->on_connect);
	p->on_message = event_new(p->params.base, p->channel, EV_READ, on_message, p);
	if (!channel_is_trusted(p->channel) || !p->on_message ||
	    event_add(p->on_message, &patience))
		end_talk(p);
}

/* --- making and freeing --- */

int predecessor_new(const struct predecessor_params *params, struct predecessor **out)
{
	struct predecessor *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	p->params = *params;
	p->channel = p->other = -1;
	snprintf(p->name, sizeof(p->name), "%s", params->name);
	p->listener = params->listener >= 0 ? params->listener : channel_listen(p->name);
	err = p->listener < 0 ? p->listener : -ENOMEM;
	if (p->listener >= 0)
		p->on_connect =
			event_new(params->base, p->listener, EV_READ | EV_PERSIST, on_connect, p);
	if (p->on_connect && !event_add(p->on_connect, NULL)) {
		*out = p;
		return 0;
	}
	predecessor_free(p);
	return err;
}

void predecessor_free(struct predecessor *p)
{
	char path[128];

	if (!p)
		return;
	if (p->on_connect) {
		end_talk(p);
		event_free(p->on_connect);
	}
	if (p->listener >= 0) {
		close(p->listener);
		channel_path(p->name, path, sizeof(path));
		unlink(path);
	}
	free(p);
}

void predecessor_rename(struct predecessor *p, const char *name)
{
	char from[128], to[128];

	if (!p || !strcmp(p->name, name))
		return;
	channel_path(p->name, from, sizeof(from));
	channel_path(name, to, sizeof(to));
	if (rename(from, to))
		log_warn("the handover socket did not follow the device's name", "from=%s to=%s",
			 from, to);
	else
		snprintf(p->name, sizeof(p->name), "%s", name);
}
