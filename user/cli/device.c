/* SPDX-License-Identifier: Apache-2.0 */
/* podveil device IFNAME: a single WireGuard device without an agent, like wireguard-go. */
#include "device/device.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/process.h"
#include "crypto/aead.h"
#include "device/wg_socket.h"
#include "netlink/link.h"
#include "podveil/counters.h"

#define MIN_MTU 576
#define MAX_MTU 65535

struct options {
	struct device_params device;
	bool foreground, unconfined;
	enum log_level log_level;
	enum log_format log_format;
};

struct running {
	struct event_base *base;
	struct device *device;
	struct wg_socket *socket;
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
	case OPT_UNCONFINED:
		o->unconfined = true;
		return true;
	case OPT_LOG_FORMAT:
		if (!log_format_parse(value, &o->log_format))
			return true;
		fprintf(stderr, "podveil device: --log-format %s: not text or json\n", value);
		return false;
	case OPT_LOG_LEVEL:
		if (!log_level_parse(value, &o->log_level))
			return true;
		fprintf(stderr,
			"podveil device: --log-level %s: not one of error, warn, info, "
			"debug\n",
			value);
		return false;
	default:
		return false;
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

	o->log_level = LOG_LEVEL_INFO;
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
}

static int serve(void *context)
{
	struct options *o = context;
	struct running r = {.base = NULL};
	struct process_signals signals;
	struct confinement confinement;
	int err, result = EXIT_FAILED;

	if (!o->unconfined)
		process_confine(CONFINE_DEVICE, NULL, &confinement);
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
	err = device_new(&o->device, &r.device);
	if (err)
		goto out;
	err = wg_socket_new(r.base, r.device, &r.socket);
	if (err)
		goto out;
	process_ready(EXIT_DONE);
	event_base_dispatch(r.base);
	result = EXIT_DONE;
out:
	wg_socket_free(r.socket);
	device_free(r.device, true);
	process_signals_end(&signals);
	event_base_free(r.base);
	return result;
}

int device_main(int argc, char **argv)
{
	struct options o = {.foreground = false};
	int result = parse(argc, argv, &o);

	if (result >= 0)
		return result;
	log_level_set(o.log_level);
	log_format_set(o.log_format);
	if (!process_privileged())
		return EXIT_FAILED;
	if (!o.foreground && process_background()) {
		fprintf(stderr, "podveil device: cannot go into the background: %s\n",
			strerror(errno));
		return EXIT_FAILED;
	}
	return process_serve(serve, &o);
}
