/* SPDX-License-Identifier: Apache-2.0 */
/* podveil device IFNAME: a single WireGuard device without an agent, like wireguard-go. */
#include "device/device.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/process.h"
#include "cli/process_options.h"
#include "crypto/aead.h"
#include "device/handover/predecessor.h"
#include "device/handover/successor.h"
#include "device/wg/wg_socket.h"
#include "netlink/link.h"
#include "podveil/counters.h"

#define MIN_MTU 576
#define MAX_MTU 65535

struct options {
	struct device_params device;
	struct process_options process;
	bool foreground, wire_is_set;
};

struct running {
	struct event_base *base;
	struct device *device;
	struct wg_socket *socket;
	struct predecessor *predecessor;
	bool gone; /* somebody deleted the tunnel device */
};

static bool number(const char *name, const char *text, unsigned long min, unsigned long max,
		   unsigned int *out)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || *end || end == text || *text == '-' || n < min || n > max) {
		fprintf(stderr, "podveil device: --%s %s: not a number from %lu to %lu\n", name,
			text, min, max);
		return false;
	}
	*out = (unsigned int)n;
	return true;
}

static bool known_aead(const char *name)
{
	struct aead *a;
	int err = aead_new(name, &a);

	if (!err) {
		aead_free(a);
		return true;
	}
	fprintf(stderr, "podveil device: --aead %s: %s; --help lists the names\n", name,
		err == -ENOTSUP ? "this processor cannot run it" : "no such implementation");
	return false;
}

static bool apply(void *context, int option, const char *value)
{
	struct options *o = context;

	switch (option) {
	case OPT_FOREGROUND:
		o->foreground = true;
		return true;
	case OPT_WORKERS:
		return number("workers", value, 1, PV_MAX_WORKERS, &o->device.workers);
	case OPT_MTU:
		return number("mtu", value, MIN_MTU, MAX_MTU, &o->device.mtu);
	case OPT_PER_PACKET:
		o->device.per_packet = true;
		return true;
	case OPT_AEAD:
		o->device.aead = value;
		return known_aead(value);
	case OPT_WIRE:
		o->wire_is_set = true;
		if (!wire_mode_parse(value, &o->device.wire))
			return true;
		fprintf(stderr, "podveil device: --wire %s: not auto, socket or xdp\n", value);
		return false;
	case OPT_UPLINK:
		o->device.uplink = value;
		return true;
	case OPT_LOW_LATENCY:
		o->device.low_latency = true;
		return true;
	default:
		return process_option_apply(&o->process, "device", option, value);
	}
}

/* Reads options from variables, such as PODVEIL_WORKERS for --workers. Flags win: they are read
 * later. */
static bool from_environment(struct options *o)
{
	const struct subcommand *device = cli_find("device");

	for (size_t i = 0; i < device->n_options; i++) {
		const struct cli_option *l = &device->options[i];
		char name[64] = "PODVEIL_";
		size_t at = strlen(name);
		const char *value;

		for (const char *c = l->name; *c; c++)
			name[at++] = *c == '-' ? '_' : (char)(*c - ('a' - 'A'));
		name[at] = 0;
		value = getenv(name);
		if (!value || (!l->argument && strcmp(value, "1")))
			continue;
		if (!apply(o, (int)l->id, value))
			return false;
	}
	return true;
}

/* Returns -1 to go on; else the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
	const char *problem;
	int result;

	if (!from_environment(o))
		return EXIT_USAGE;
	result = cli_parse(argc, argv, apply, o, &o->device.name);
	if (result >= 0)
		return result;
	problem = link_name_problem(o->device.name);
	if (problem) {
		fprintf(stderr, "podveil device: interface name \"%s\" %s\n", o->device.name,
			problem);
		return EXIT_USAGE;
	}
	return -1;
}

static void on_ended(struct device *d, void *context)
{
	struct running *r = context;

	log_info("tunnel device was deleted", "device=%s", device_name(d));
	r->gone = true;
	event_base_loopbreak(r->base);
}

static void on_renamed(struct device *d, void *context)
{
	struct running *r = context;

	if (r->socket && wg_socket_rename(r->socket))
		log_warn("the wg socket could not be renamed with the device", "device=%s",
			 device_name(d));
	predecessor_rename(r->predecessor, device_served_name(d));
}

/* --- handing over --- */

static size_t what_to_hand_over(struct handed_device out[RECORD_MAX_DEVICES], void *context)
{
	struct running *r = context;

	out[0] = (struct handed_device){
		.device = r->device,
		.wg_fd = wg_socket_listener(r->socket),
	};
	return 1;
}

/* `listener`: that of the process before; -1: none. */
static int allow_to_take_over(struct running *r, int listener)
{
	const struct predecessor_params params = {
		.base = r->base,
		.name = device_served_name(r->device),
		.listener = listener,
		.devices = what_to_hand_over,
		.context = r,
	};
	const int err = predecessor_new(&params, &r->predecessor);

	if (err)
		log_warn("no other process will be able to take the device over",
			 "device=%s errno=%d", device_name(r->device), -err);
	return err;
}

/* --- taking over --- */

static void params_of(size_t i, const char *served_name, struct device_params *out, void *context)
{
	const struct options *o = context;

	(void)i;
	(void)served_name;
	out->base = o->device.base;
	out->aead = o->device.aead;
	out->uplink = o->device.uplink;
	out->ended = o->device.ended;
	out->renamed = o->device.renamed;
	out->context = o->device.context;
}

/* Options that were given apply to a device that was taken over; its MTU does not change. */
static void apply_options(const struct options *o, struct device *d)
{
	if (o->device.workers && device_set_workers(d, o->device.workers))
		log_warn("the number of workers stays", "device=%s", device_name(d));
	if (o->wire_is_set)
		device_set_wire(d, o->device.wire, 0);
	if (o->device.low_latency)
		device_set_low_latency(d, true);
}

/* 0, or -ENOENT: no process is there. After other errors this process ends at once: what it has is the
 * other process', which goes on. */
static int take_over(struct options *o, struct running *r)
{
	const struct successor_params params = {
		.name = o->device.name,
		.params = params_of,
		.context = o,
	};
	struct successor *s;
	int err = successor_take(&params, &s), fd;

	if (err == -ENOENT)
		return err;
	if (err)
		_exit(EXIT_FAILED);
	if (successor_count(s) != 1)
		_exit(EXIT_FAILED);
	r->device = successor_device(s, 0);
	fd = successor_wg_fd(s, 0);
	err = fd >= 0 ? wg_socket_adopt(r->base, r->device, fd, &r->socket)
		      : wg_socket_new(r->base, r->device, &r->socket);
	if (!err)
		err = allow_to_take_over(r, successor_listener(s));
	if (!err)
		err = successor_begin(s);
	if (err)
		_exit(EXIT_FAILED);
	apply_options(o, r->device);
	return 0;
}

/* Makes the device and what serves it. */
static int make(struct options *o, struct running *r)
{
	int err = o->process.take_over ? take_over(o, r) : -ENOENT;

	if (err != -ENOENT)
		return err;
	err = device_new(&o->device, &r->device);
	if (!err)
		err = wg_socket_new(r->base, r->device, &r->socket);
	if (!err)
		allow_to_take_over(r, -1);
	return err;
}

static int serve(void *context)
{
	struct options *o = context;
	struct running r = {.base = NULL};
	const struct confine_params p = {.process = CONFINE_DEVICE, .user = o->process.user};
	struct process_signals signals;
	struct confinement confinement;
	int err, result = EXIT_FAILED;

	if (!o->process.unconfined)
		process_confine(&p, &confinement);
	r.base = event_base_new();
	if (!r.base)
		return EXIT_FAILED;
	o->device.base = r.base;
	o->device.adopt = true;
	o->device.ended = on_ended;
	o->device.renamed = on_renamed;
	o->device.context = &r;
	if (process_signals_begin(&signals, r.base))
		goto out;
	err = make(o, &r);
	if (err)
		goto out;
	process_ready(EXIT_DONE);
	event_base_dispatch(r.base);
	result = EXIT_DONE;
out:
	predecessor_free(r.predecessor);
	wg_socket_free(r.socket);
	device_free(r.device, true);
	process_signals_end(&signals);
	event_base_free(r.base);
	return result;
}

int device_main(int argc, char **argv)
{
	struct options o = {.process = PROCESS_OPTIONS_DEFAULT};
	int result = parse(argc, argv, &o);

	if (result >= 0)
		return result;
	if (!process_options_user(&o.process, "device", o.device.name))
		return EXIT_USAGE;
	process_options_set_log(&o.process);
	if (!process_privileged())
		return EXIT_FAILED;
	if (!o.foreground && process_background()) {
		fprintf(stderr, "podveil device: cannot go into the background: %s\n",
			strerror(errno));
		return EXIT_FAILED;
	}
	return process_serve(serve, &o);
}
