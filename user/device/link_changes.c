/* SPDX-License-Identifier: Apache-2.0 */
/* Follows changes that others make to the tunnel device, in any network namespace: up and down,
 * name, MTU, MAC address, moves between namespaces. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "device/peer.h"
#include "netlink/link.h"

/* A frame of 4096 bytes minus XDP's headroom and the Ethernet header. */
#define PER_PACKET_MTU 3826
/* How often the tunnel device is read while notifications of it may not reach us. */
#define RECHECK_SECONDS 1

/* --- up and down --- */

static int go_up(struct device *d)
{
	int err = datapath_listen(d->datapath, &d->listen_port, d->fwmark);

	if (err && d->listen_error == err)
		return err; /* logged before */
	d->listen_error = err;
	if (err) {
		log_error(
			"cannot listen on the UDP port",
			"device=%s port=%u errno=%d needs=\"a free port: wg set %s listen-port N\"",
			d->name, d->listen_port, -err, d->name);
		return err;
	}
	d->up = true;
	device_publish_settings(d); /* the port may have been chosen just now */
	handshaker_wake(d->handshaker);
	return 0;
}

static void peer_goes_up(struct peer *p, uint64_t now)
{
	timers_up(&p->remote.timers, true);
	timers_persistent_keepalive_set(&p->remote.timers, p->keepalive * NSEC_PER_SEC);
	if (p->handshake_wanted)
		protocol_initiate(p, now, HANDSHAKE_STARTED_OWNER);
	p->handshake_wanted = false;
	peer_request_attention(p);
}

static void go_down(struct device *d)
{
	d->up = false;
	datapath_unlisten(d->datapath);
	handshaker_wake(d->handshaker);
}

static void peer_goes_down(struct peer *p)
{
	timers_up(&p->remote.timers, false);
	/* We forget the session, but the peer still sends with it and would notice only after 15 s.
	 * So we start a handshake when the device goes up again. */
	p->handshake_wanted |= remote_sending_keypair(&p->remote) != NULL;
	session_clear(p);
	atomic_fetch_add(&p->remote.stage_epoch, 1);
	atomic_store(&p->remote.handshake_requested, false);
	p->last_sent_handshake = 0;
	peer_request_attention(p);
}

/* First the device, which stops or starts everything; then its peers. The lock is taken for each
 * peer separately. */
void device_set_carrier(struct device *d, bool carrier)
{
	struct peer *p;
	bool follows = false;

	device_lock(d);
	if (carrier && !d->up) {
		follows = !go_up(d);
	} else if (!carrier && d->up) {
		go_down(d);
		follows = true;
	}
	device_unlock(d);
	if (!follows)
		return;
	TAILQ_FOREACH (p, &d->peers, list) {
		const uint64_t now = device_lock(d);

		if (carrier)
			peer_goes_up(p, now);
		else
			peer_goes_down(p);
		device_unlock(d);
	}
	if (!carrier)
		datapath_kick(d->datapath);
}

static void apply_rename(struct device *d, const char *name)
{
	char from[IF_NAMESIZE];
	int err;

	memcpy(from, d->name, sizeof(from));
	snprintf(d->name, sizeof(d->name), "%s", name);
	log_info("device was renamed", "from=%s to=%s", from, name);
	err = strcmp(name, d->served_name) ? device_take_name(d, name) : -EALREADY;
	if (err && err != -EALREADY)
		log_error("socket and pins keep their old name",
			  "device=%s name=%s errno=%d problem=\"%s\"", name, d->served_name, -err,
			  err == -EWOULDBLOCK ? "another podveil serves a device of that name"
					      : strerror(-err));
	else if (!err && programs_rename(d->programs, name))
		log_warn("pins did not follow the device's name", "from=%s to=%s", from, name);
	if (d->params.renamed)
		d->params.renamed(d, d->params.context);
}

void device_check_mtu(const struct device *d)
{
	if (!d->superpackets && d->mtu > PER_PACKET_MTU)
		log_warn("larger packets are dropped",
			 "device=%s mtu=%u needs=\"an MTU of at most %d, or Linux 6.9 without "
			 "--per-packet\"",
			 d->name, d->mtu, PER_PACKET_MTU);
}

static void apply_mtu(struct device *d, uint32_t mtu)
{
	d->mtu = mtu;
	device_check_mtu(d);
	datapath_set_mtu(d->datapath, mtu);
}

/* udevd and others may change the MAC address. The kernel drops frames to the old one. */
static void apply_mac(struct device *d, const uint8_t mac[6])
{
	memcpy(d->mac, mac, sizeof(d->mac));
	datapath_set_mac(d->datapath, mac);
}

/* The only place that reads the state of the tunnel device, whatever network namespace it is in. A
 * notification only says that it is time to read. */
static void refresh_link(struct device *d)
{
	const struct timeval delay = {RECHECK_SECONDS, 0};
	struct link_info inner, tunnel;

	if (link_get_index(d->inner_ifindex, &inner)) {
		d->ending = true;
		return;
	}
	device_set_carrier(d, inner.carrier);
	/* If this fails, the device is being moved to another network namespace: a notification or
	 * the next check follows. */
	if (!link_get_peer(&inner, &tunnel)) {
		d->in_other_namespace = inner.peer_in_other_namespace;
		d->tunnel_ifindex = tunnel.ifindex;
		if (strcmp(tunnel.name, d->name) != 0)
			apply_rename(d, tunnel.name);
		if (tunnel.mtu != d->mtu)
			apply_mtu(d, tunnel.mtu);
		if (memcmp(tunnel.mac, d->mac, sizeof(d->mac)) != 0)
			apply_mac(d, tunnel.mac);
		if (!d->in_other_namespace &&
		    !programs_attached_tunnel(d->programs, d->tunnel_ifindex))
			programs_attach_tunnel(d->programs, d->tunnel_ifindex);
	}
	if (d->in_other_namespace)
		evtimer_add(d->recheck_event, &delay);
}

struct news {
	struct device *device;
	bool concerns_us;
};

static void on_link(void *context, enum link_event e, const struct link_info *link)
{
	struct news *news = context;
	struct device *d = news->device;

	switch (e) {
	case LINK_OVERRUN:
		news->concerns_us = true;
		break;
	case LINK_IN_OTHER_NAMESPACE:
		news->concerns_us |= d->in_other_namespace;
		break;
	case LINK_CHANGED:
	case LINK_GONE:
		if (link->ifindex == d->inner_ifindex && e == LINK_CHANGED)
			device_set_carrier(d, link->carrier); /* even if it lasted a moment only */
		/* The kernel tells late of the inner end's carrier, and not at all if it came back
		 * meanwhile. */
		if (link->ifindex == d->tunnel_ifindex && !d->in_other_namespace &&
		    e == LINK_CHANGED && !link->up)
			device_set_carrier(d, false);
		if (link->ifindex == d->inner_ifindex ||
		    (link->ifindex == d->tunnel_ifindex && !d->in_other_namespace))
			news->concerns_us = true;
	}
}

static void refresh_and_report(struct device *d)
{
	refresh_link(d);
	if (d->ending && d->params.ended)
		d->params.ended(d, d->params.context);
}

static void on_watch(evutil_socket_t fd, short what, void *context)
{
	struct news news = {.device = context};

	(void)fd;
	(void)what;
	link_watch_read(news.device->watch, on_link, &news);
	if (news.concerns_us)
		refresh_and_report(context);
}

static void on_recheck(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	refresh_and_report(context);
}

int device_watch_link(struct device *d)
{
	int err = link_watch_new(&d->watch);

	if (err)
		return err;
	d->watch_event = event_new(d->params.base, link_watch_fd(d->watch), EV_READ | EV_PERSIST,
				   on_watch, d);
	d->recheck_event = evtimer_new(d->params.base, on_recheck, d);
	if (!d->watch_event || !d->recheck_event || event_add(d->watch_event, NULL))
		return -ENOMEM;
	/* Apply the changes that were made before we watched. */
	refresh_link(d);
	return d->ending ? -ENODEV : 0;
}

void device_unwatch_link(struct device *d)
{
	if (d->watch_event)
		event_free(d->watch_event);
	if (d->recheck_event)
		event_free(d->recheck_event);
	link_watch_free(d->watch);
}
