/* SPDX-License-Identifier: Apache-2.0 */
#include "device/handover/successor.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/version.h"
#include "device/handover/handover_offer.h"
#include "device/handover/transfer.h"
#include "handover/channel.h"
#include "handover/record_file.h"

/* How long to wait for the old process. It may be busy with one that came before us. */
#define OFFER_MS  30000
#define RECORD_MS 10000
#define GO_MS	  10000
/* How long the end of a killed process may take. */
#define END_MS 5000

/* The first descriptors of a RECORD. */
enum { FD_RECORD, FD_OLD_PROCESS, FD_LISTENER, FD_DEVICES };

struct successor {
	const struct successor_params *params;
	int channel;
	struct handover_offer offer;
	struct device *devices[RECORD_MAX_DEVICES];
	int wg_fds[RECORD_MAX_DEVICES];
	char owners[RECORD_MAX_DEVICES][RECORD_OWNER];
	struct channel_message record; /* its descriptors are in use */
	size_t n_used;
	uint64_t asked_at; /* monotonic ns: since then the devices are held */
};

static int fail(struct successor *s, int err, const char *why)
{
	log_error("cannot take over from the running process", "name=%s errno=%d problem=\"%s\"",
		  s->params->name, -err, why);
	channel_send(s->channel, CHANNEL_ABORT, why, strlen(why), NULL, 0);
	return err;
}

/* Receives this message. -EPIPE: the other process ended. Its refusal is -ECANCELED, logged. */
static int expect(struct successor *s, enum channel_type wanted, int ms, struct channel_message *m)
{
	const int err = channel_receive(s->channel, ms, m);

	if (err)
		return err;
	if (m->type == wanted)
		return 0;
	channel_close_fds(m);
	if (m->type != CHANNEL_ABORT)
		return fail(s, -EPROTO, "the other process said something else");
	log_error("the running process does not hand over", "name=%s why=\"%.*s\"", s->params->name,
		  (int)m->length, (const char *)m->bytes);
	return -ECANCELED;
}

static int send_hello(struct successor *s)
{
	char texts[sizeof(PODVEIL_VERSION) + INSTANCE_MAX + 1] = PODVEIL_VERSION;
	const char *instance = s->params->instance ? s->params->instance : "";
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0), err;

	if (self < 0)
		return fail(s, -errno, "this process cannot be named");
	snprintf(texts + sizeof(PODVEIL_VERSION), INSTANCE_MAX + 1, "%s", instance);
	channel_step("new", 1);
	err = channel_send(s->channel, CHANNEL_HELLO, texts,
			   sizeof(PODVEIL_VERSION) + strlen(instance) + 1, &self, 1);
	close(self);
	return err;
}

static int greet(struct successor *s)
{
	struct channel_message m;
	const char *problem;
	int err = send_hello(s);

	if (!err)
		err = channel_receive(s->channel, OFFER_MS, &m);
	if (err)
		return err;
	channel_close_fds(&m);
	if (m.type == CHANNEL_ABORT) {
		log_info("the running process does not hand over to this one",
			 "name=%s why=\"%.*s\"", s->params->name, (int)m.length,
			 (const char *)m.bytes);
		return -EALREADY;
	}
	if (m.type != CHANNEL_OFFER)
		return fail(s, -EPROTO, "the other process said something else");
	channel_step("new", 2);
	problem = handover_offer_read(m.bytes, m.length, &s->offer);
	return problem ? fail(s, -EPROTO, problem) : 0;
}

static int prepare(struct successor *s)
{
	int err = 0;

	for (size_t i = 0; i < s->offer.n_devices && !err; i++) {
		const struct offered_device *o = &s->offer.devices[i];
		struct device_params params = {.name = o->served_name};

		s->params->params(i, o->served_name, &params, s->params->context);
		err = device_prepare(&params, o->served_name, o->superpackets, &s->devices[i]);
	}
	channel_step("new", 3);
	return err ? fail(s, err, "a device cannot be prepared") : 0;
}

/* --- the record --- */

static int read_record(struct successor *s, struct handover_record *r, const char **problem)
{
	int err;

	*problem = "it cannot be read";
	if (s->record.n_fds < FD_DEVICES)
		return -EPROTO;
	err = record_file_read(s->record.fds[FD_RECORD], r, problem);
	if (err)
		return err;
	if (r->n_devices == s->offer.n_devices &&
	    s->record.n_fds >= FD_DEVICES + handover_record_descriptors(r))
		return 0;
	*problem = "devices or descriptors are missing";
	handover_record_fini(r);
	return -EPROTO;
}

static size_t descriptors_of(const struct record_device *d)
{
	const struct handover_record one = {.n_devices = 1,
					    .devices = (struct record_device *)(uintptr_t)d};

	return handover_record_descriptors(&one);
}

static int make_devices(struct successor *s, const struct handover_record *r)
{
	const int *fds = s->record.fds + FD_DEVICES;
	const char *problem = NULL;

	for (uint32_t i = 0; i < r->n_devices; i++) {
		const struct record_device *d = &r->devices[i];
		int own[6 * PV_MAX_WORKERS + 2];
		size_t n = descriptors_of(d);
		int err;

		memcpy(s->owners[i], d->owner, sizeof(s->owners[i]));
		s->wg_fds[i] = d->has_wg_socket ? fds[1] : -1;
		own[0] = fds[0];
		memcpy(own + 1, fds + 1 + d->has_wg_socket,
		       (n - 1 - d->has_wg_socket) * sizeof(*own));
		if (strcmp(d->served_name, s->offer.devices[i].served_name) != 0)
			return fail(s, -EPROTO, "the record is of other devices");
		err = device_read_record(s->devices[i], d, own, &problem);
		if (err)
			return fail(s, err, problem);
		fds += n;
	}
	s->n_used = (size_t)(fds - s->record.fds);
	return 0;
}

static int take(struct successor *s)
{
	struct handover_record r;
	const char *problem;
	int err;

	s->asked_at = clock_now();
	err = channel_send(s->channel, CHANNEL_TAKE, NULL, 0, NULL, 0);

	if (!err)
		err = expect(s, CHANNEL_RECORD, RECORD_MS, &s->record);
	if (err)
		return err;
	channel_step("new", 4);
	err = read_record(s, &r, &problem);
	if (err)
		return fail(s, err, problem);
	if (r.state_version != RECORD_STATE)
		log_warn("sessions are made anew: the running process keeps them in another way",
			 "name=%s its_version=%u ours=%u", s->params->name, r.state_version,
			 RECORD_STATE);
	err = make_devices(s, &r);
	handover_record_fini(&r);
	channel_step("new", 5);
	return err;
}

int successor_take(const struct successor_params *params, struct successor **out)
{
	struct successor *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->params = params;
	s->channel = channel_connect(params->name);
	if (s->channel < 0) {
		err = s->channel;
		free(s);
		return err == -ECONNREFUSED ? -ENOENT : err;
	}
	if (!channel_is_trusted(s->channel))
		return fail(s, -EPERM, "it has another user, so neither could end the other");
	err = greet(s);
	if (!err)
		err = prepare(s);
	if (!err)
		err = take(s);
	if (!err) {
		*out = s;
		return 0;
	}
	if (err == -EALREADY) {
		close(s->channel);
		free(s);
		return err;
	}
	/* It has ended, and handed over nothing. */
	if (err == -EPIPE || err == -ECONNRESET)
		return -ENOENT;
	if (err == -ETIMEDOUT)
		fail(s, err, "it did not answer in time");
	return err;
}

/* --- what stands --- */

size_t successor_count(const struct successor *s)
{
	return s->offer.n_devices;
}

struct device *successor_device(struct successor *s, size_t i)
{
	return s->devices[i];
}

const char *successor_owner(const struct successor *s, size_t i)
{
	return s->owners[i];
}

int successor_wg_fd(struct successor *s, size_t i)
{
	return s->wg_fds[i];
}

int successor_listener(struct successor *s)
{
	return s->record.fds[FD_LISTENER];
}

size_t successor_more(struct successor *s, int out[CHANNEL_MORE])
{
	const size_t all = s->record.n_fds - s->n_used;
	const size_t n = all < CHANNEL_MORE ? all : CHANNEL_MORE;

	memcpy(out, s->record.fds + s->n_used, n * sizeof(*out));
	return n;
}

void successor_handed_over(const struct successor *s, struct instances *out)
{
	instances_read(s->record.bytes, s->record.length, out);
}

/* --- beginning --- */

static bool old_one_has_ended(const struct successor *s)
{
	struct pollfd p = {.fd = s->record.fds[FD_OLD_PROCESS], .events = POLLIN};

	return poll(&p, 1, END_MS) == 1;
}

/* The old process does not listen any more. If it has ended, nobody else has the devices, unless it said
 * before that it goes on: then it may have handed them over to others since. */
static int begin_without_it(struct successor *s, int err)
{
	struct channel_message m;

	while (!channel_receive(s->channel, 0, &m)) {
		channel_close_fds(&m);
		if (m.type == CHANNEL_ABORT)
			return fail(s, -ECANCELED,
				    "this process was late, and the old one went on");
	}
	if (old_one_has_ended(s))
		return 0;
	return fail(s, err, "it does not listen any more, but has not ended");
}

int successor_begin(struct successor *s)
{
	struct channel_message m;
	uint64_t began;
	int err = channel_send(s->channel, CHANNEL_READY, NULL, 0, NULL, 0);

	channel_step("new", 6);
	if (!err)
		err = expect(s, CHANNEL_GO, GO_MS, &m);
	channel_step("new", 7);
	if (!err)
		err = channel_send(s->channel, CHANNEL_RUNS, NULL, 0, NULL, 0);
	if (err == -EPIPE || err == -ECONNRESET)
		err = begin_without_it(s, err);
	else if (err == -ETIMEDOUT)
		fail(s, err, "it did not answer in time");
	if (err)
		return err;
	channel_step("new", 8);
	for (size_t i = 0; i < s->offer.n_devices; i++)
		device_begin(s->devices[i]);
	began = clock_now();
	for (size_t i = 0; i < s->offer.n_devices; i++)
		device_settle(s->devices[i]);
	log_info("took over from the running process",
		 "name=%s devices=%u build=%s was=%s packets_waited_us=%llu", s->params->name,
		 s->offer.n_devices, PODVEIL_VERSION, s->offer.build,
		 (unsigned long long)(began - s->asked_at) / 1000);
	close(s->record.fds[FD_RECORD]);
	close(s->record.fds[FD_OLD_PROCESS]);
	close(s->channel);
	free(s);
	return 0;
}
