/* SPDX-License-Identifier: Apache-2.0 */
#include "device/uplink.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "device/peer.h"
#include "device/uplink_paths.h"
#include "netlink/link.h"
#include "netlink/next_hop.h"
#include "netlink/route.h"
#include "netlink/rtnl.h"
#include "wire/xsk.h"

/* When to try again if `xdp` is set but cannot be used now. */
#define RETRY_SECONDS 5
/* The first tries follow sooner if the queues are busy: after a process was killed, the kernel
 * needs some 30 ms to close its sockets. */
#define SOON_MS	   50
#define SOON_TIMES 4
/* The shortest time between two refreshes after changes of the network. */
#define DEBOUNCE (10 * NSEC_PER_MSEC)
/* Refreshes may take at most a tenth of the time: with thousands of peers they are expensive. */
#define COST_FACTOR 10
/* Before a queue is closed, wait at most this long until its messages were received. */
#define DRAIN_STEPS 50
#define DRAIN_STEP  NSEC_PER_MSEC

struct uplink {
	struct device *device;
	int path_missing_fd; /* eventfd, written by workers that miss a path */
	struct route_watch *watch;
	struct rtnl_socket questions; /* about routes and neighbours */
	struct event *on_path_missing, *on_news, *on_debounced, *on_retry;
	uint64_t refreshed_at, refresh_cost; /* when, and how long it took, ns */
	/* The last attempt: mode, device, number of workers. */
	enum wire_mode tried_wire;
	int tried_ifindex;
	unsigned int workers;
	bool refused;	   /* it failed although xdp is set; `reason` says why */
	bool permanent;	   /* the result will not change, so do not try again */
	bool busy;	   /* somebody else has the queues or the XDP hook */
	unsigned int soon; /* how many tries have followed after SOON_MS */

	bool open;
	int queues;
	bool zero_copy, generic;
	struct link_info link; /* as it was when the queues were opened */
	int divert_link;       /* the BPF link of the program `divert`; -1: none */
	uint16_t port;
	struct own_addresses addresses;
	char reason[WIRE_REASON_TEXT];
};

/* --- the reason --- */

/* Logs each reason once. */
static void set_reason(struct uplink *u, const char *format, ...)
{
	char reason[WIRE_REASON_TEXT];
	va_list args;

	va_start(args, format);
	vsnprintf(reason, sizeof(reason), format, args);
	va_end(args);
	if (!strcmp(reason, u->reason))
		return;
	snprintf(u->reason, sizeof(u->reason), "%s", reason);
	if (u->open)
		log_info("messages use AF_XDP on the uplink",
			 "device=%s uplink=%s queues=%d mode=%s", u->device->name, u->link.name,
			 u->queues, u->zero_copy ? "zero-copy" : "copy");
	else if (u->device->wire == WIRE_XDP && u->device->up)
		log_error("messages use sockets, not AF_XDP", "device=%s problem=\"%s\"",
			  u->device->name, reason);
	else
		log_debug("messages use sockets", "device=%s why=\"%s\"", u->device->name, reason);
}

/* --- settings of the program `divert` --- */

static void take_address(void *context, const struct cidr *a, int ifindex)
{
	struct uplink *u = context;

	/* Take link-local addresses only if they are the uplink's own. */
	if (a->family == AF_INET6 && a->address[0] == 0xfe && (a->address[1] & 0xc0) == 0x80 &&
	    ifindex != u->link.ifindex)
		return;
	own_addresses_add(&u->addresses, a); /* else its messages go through the sockets */
}

static int update_divert_program(struct uplink *u)
{
	struct pv_divert_settings s = {
		.largest = XSK_FRAME_SIZE,
		.port = u->device->listen_port,
		.generic = u->generic,
	};
	int err;

	memcpy(s.mac, u->link.mac, sizeof(s.mac));
	u->port = s.port;
	u->addresses.n = 0;
	err = local_address_each(take_address, u);
	if (!err)
		err = programs_write_divert_addresses(u->device->programs, u->addresses.all,
						      u->addresses.n);
	/* More addresses than the map holds: messages to the others go through the sockets. */
	if (err == -E2BIG || err == -ENOMEM)
		err = 0;
	return err ? err : programs_write_divert_settings(u->device->programs, &s);
}

/* --- opening and closing --- */

static void drain(const struct uplink *u)
{
	for (unsigned int i = 0; i < DRAIN_STEPS && datapath_queues_waiting(u->device->datapath);
	     i++)
		datapath_sleep(DRAIN_STEP);
}

static void close_queues(struct uplink *u)
{
	if (u->divert_link >= 0)
		close(u->divert_link);
	u->divert_link = -1;
	if (!u->open)
		return;
	/* No more messages arrive here. Those that have arrived are received first. */
	if (u->device->up)
		drain(u);
	uplink_paths_forget(u->device);
	datapath_queues_close(u->device->datapath);
	u->open = false;
}

static int open_queues(struct uplink *u, bool zero_copy)
{
	const struct datapath_uplink du = {
		.ifindex = u->link.ifindex,
		.zero_copy = zero_copy,
		.fwmark = u->device->fwmark,
		.path_missing_fd = u->path_missing_fd,
	};

	int n = datapath_queues_open(u->device->datapath, &du);

	u->zero_copy = zero_copy;
	u->queues = n > 0 ? n : 0;
	return n < 0 ? n : 0;
}

static int attach(struct uplink *u)
{
	int err;

	for (int generic = 0; generic < 2; generic++) {
		u->generic = generic;
		err = update_divert_program(u);
		if (!err)
			err = programs_divert_attach(u->device->programs, u->link.ifindex, generic,
						     &u->divert_link);
		/* The driver has no XDP: try generic mode. Zero-copy does not work with it. */
		if (!err || err == -EBUSY || err == -EEXIST || u->zero_copy)
			break;
	}
	return err;
}

static void set_open_reason(struct uplink *u)
{
	set_reason(u, "%s, %s", u->link.name,
		   u->zero_copy ? "zero-copy"
		   : u->generic ? "the kernel copies, generic XDP"
				: "the kernel copies");
}

static void try_open(struct uplink *u)
{
	const struct device *d = u->device;
	char why[WIRE_REASON_TEXT];
	int err;

	u->tried_wire = d->wire;
	u->tried_ifindex = d->wire_ifindex;
	u->workers = d->workers;
	u->busy = false;
	if (!uplink_choose(d, &u->questions, &u->link, why)) {
		set_reason(u, "%s", why);
		return;
	}
	err = open_queues(u, true);
	if (err && d->wire == WIRE_AUTO) {
		u->permanent = true;
		set_reason(u, "auto: %s has no zero-copy AF_XDP", u->link.name);
		return;
	}
	if (err)
		err = open_queues(u, false);
	if (err == -EBUSY) {
		u->busy = true;
		set_reason(u, "another AF_XDP socket uses the queues of %s", u->link.name);
		return;
	}
	if (err) {
		set_reason(u, "no AF_XDP socket on %s: %s", u->link.name, strerror(-err));
		return;
	}
	u->open = true;
	err = attach(u);
	u->busy = err == -EBUSY || err == -EEXIST;
	if (err) {
		close_queues(u);
		set_reason(u, "XDP cannot be attached to %s: %s", u->link.name, strerror(-err));
		return;
	}
	set_open_reason(u);
}

/* --- following changes --- */

static void retry_later(struct uplink *u)
{
	const bool soon = u->busy && u->soon < SOON_TIMES;
	const struct timeval delay = {soon ? 0 : RETRY_SECONDS, soon ? SOON_MS * 1000 : 0};

	if (evtimer_pending(u->on_retry, NULL))
		return;
	u->soon += soon;
	evtimer_add(u->on_retry, &delay);
}

static bool request_changed(const struct uplink *u)
{
	return u->tried_wire != u->device->wire || u->tried_ifindex != u->device->wire_ifindex ||
	       u->workers != u->device->workers;
}

/* The link differs from the one that the queues were opened on, or is down. */
static bool link_changed(const struct uplink *u)
{
	struct link_info now;

	return link_get_index(u->link.ifindex, &now) || !now.up || now.mtu != u->link.mtu ||
	       now.rx_queues != u->link.rx_queues || now.tx_queues != u->link.tx_queues ||
	       memcmp(now.mac, u->link.mac, sizeof(now.mac)) != 0;
}

void uplink_update(struct uplink *u)
{
	const struct device *d = u->device;
	const bool wanted = d->up && d->wire != WIRE_SOCKET;

	if (u->open && (!wanted || request_changed(u)))
		close_queues(u);
	if (!wanted) {
		u->refused = u->permanent = false;
		evtimer_del(u->on_retry);
		rtnl_close(&u->questions);
		u->soon = 0;
		set_reason(u,
			   d->wire == WIRE_SOCKET ? "socket is configured" : "the device is down");
		return;
	}
	if (u->open) {
		if (u->port != d->listen_port)
			update_divert_program(u);
		return;
	}
	if (u->permanent && !request_changed(u))
		return;
	u->permanent = false;
	try_open(u);
	u->refused = !u->open && d->wire == WIRE_XDP;
	if (!u->open && !u->permanent)
		retry_later(u);
}

static void refresh(struct uplink *u)
{
	const uint64_t begin = clock_now();

	if (u->open && link_changed(u))
		close_queues(u);

	const bool stays = u->open;

	uplink_update(u);
	if (stays && u->open)
		update_divert_program(u); /* newly opened queues have updated it already */
	if (u->open)
		uplink_paths_update(u->device, &u->questions, &u->link, &u->addresses, false);
	u->refreshed_at = clock_now();
	u->refresh_cost = u->refreshed_at - begin;
}

static void on_path_missing(evutil_socket_t fd, short what, void *context)
{
	struct uplink *u = context;
	uint64_t times;

	(void)what;
	if (read(fd, &times, sizeof(times)) < 0)
		return;
	device_lock(u->device);
	if (u->open)
		uplink_paths_update(u->device, &u->questions, &u->link, &u->addresses, true);
	device_unlock(u->device);
}

static void on_debounced(evutil_socket_t fd, short what, void *context)
{
	struct uplink *u = context;

	(void)fd;
	(void)what;
	device_lock(u->device);
	refresh(u);
	device_unlock(u->device);
}

static void on_news(evutil_socket_t fd, short what, void *context)
{
	struct uplink *u = context;
	const uint64_t pause = u->refresh_cost * COST_FACTOR, now = clock_now();
	const uint64_t due = u->refreshed_at + (pause > DEBOUNCE ? pause : DEBOUNCE);
	const uint64_t wait = due > now ? due - now : 0;
	const struct timeval delay = {(time_t)(wait / NSEC_PER_SEC),
				      (suseconds_t)(wait % NSEC_PER_SEC / 1000)};
	bool concerns;

	(void)fd;
	(void)what;
	route_watch_drain(u->watch);
	device_lock(u->device);
	concerns = u->device->wire != WIRE_SOCKET && !u->permanent;
	device_unlock(u->device);
	if (concerns && !evtimer_pending(u->on_debounced, NULL))
		evtimer_add(u->on_debounced, &delay);
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
	struct uplink *u = context;

	(void)fd;
	(void)what;
	device_lock(u->device);
	if (!u->open)
		uplink_update(u);
	device_unlock(u->device);
}

/* --- making and freeing --- */

int uplink_new(struct device *d, struct event_base *base, struct uplink **out)
{
	struct uplink *u = calloc(1, sizeof(*u));
	int err = -ENOMEM;

	if (!u)
		return -ENOMEM;
	u->device = d;
	u->divert_link = -1;
	u->path_missing_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (u->path_missing_fd < 0) {
		err = -errno;
		goto fail;
	}
	err = route_watch_new(true, &u->watch);
	if (err)
		goto fail;
	u->on_path_missing =
		event_new(base, u->path_missing_fd, EV_READ | EV_PERSIST, on_path_missing, u);
	u->on_news = event_new(base, route_watch_fd(u->watch), EV_READ | EV_PERSIST, on_news, u);
	u->on_debounced = evtimer_new(base, on_debounced, u);
	u->on_retry = evtimer_new(base, on_retry, u);
	if (!u->on_path_missing || !u->on_news || !u->on_debounced || !u->on_retry ||
	    event_add(u->on_path_missing, NULL) || event_add(u->on_news, NULL)) {
		err = -ENOMEM;
		goto fail;
	}
	*out = u;
	return 0;
fail:
	uplink_free(u);
	return err;
}

void uplink_free(struct uplink *u)
{
	if (!u)
		return;
	close_queues(u);
	if (u->on_path_missing)
		event_free(u->on_path_missing);
	if (u->on_news)
		event_free(u->on_news);
	if (u->on_debounced)
		event_free(u->on_debounced);
	if (u->on_retry)
		event_free(u->on_retry);
	route_watch_free(u->watch);
	rtnl_close(&u->questions);
	if (u->path_missing_fd >= 0)
		close(u->path_missing_fd);
	free(u->addresses.all);
	free(u);
}

void uplink_hand(const struct uplink *u, struct uplink_handed *out)
{
	*out = (struct uplink_handed){
		.open = u->open,
		.ifindex = (uint32_t)u->link.ifindex,
		.zero_copy = u->zero_copy,
		.generic = u->generic,
		.divert_link = u->divert_link,
	};
}

int uplink_adopt(struct uplink *u, const struct uplink_handed *handed,
		 const struct wire_xdp_handed *queues, unsigned int n)
{
	const struct datapath_uplink du = {
		.ifindex = (int)handed->ifindex,
		.path_missing_fd = u->path_missing_fd,
	};
	const struct device *d = u->device;
	int err = link_get_index(du.ifindex, &u->link);

	for (unsigned int i = 0; i < n && !err; i++)
		err = datapath_adopt_queue(d->datapath, i, &du, &queues[i]);
	if (err)
		return err;
	u->open = true;
	u->queues = (int)n;
	u->zero_copy = handed->zero_copy;
	u->generic = handed->generic;
	u->divert_link = handed->divert_link;
	u->port = d->listen_port;
	u->tried_wire = d->wire;
	u->tried_ifindex = d->wire_ifindex;
	/* If the program in use is not ours, it reads maps of another build: then the first update opens the
	 * queues anew. */
	u->workers = programs_adopted(d->programs) ? d->workers : 0;
	local_address_each(take_address, u);
	set_open_reason(u);
	return 0;
}

void uplink_view(const struct uplink *u, struct device_view *v)
{
	v->wire = u->open ? "xdp" : "socket";
	snprintf(v->wire_reason, sizeof(v->wire_reason), "%s", u->reason);
	/* A setting that is newer than the last attempt has not been refused yet. */
	v->wire_refused = u->refused && u->device->wire == WIRE_XDP && u->device->up;
}
