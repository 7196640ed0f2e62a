/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The veth pair that is a tunnel device, over rtnetlink (libmnl) and ethtool. Owner: the control
 * thread. Functions return 0 or -errno and log nothing: the caller knows what to say.
 */
#ifndef NETLINK_LINK_H
#define NETLINK_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct link_info {
	int ifindex;
	int peer_ifindex; /* IFLA_LINK, a number in the namespace of the other end; 0: none */
	bool peer_in_other_namespace; /* the other end is in another network namespace ... */
	int peer_namespace;	      /* ... which has this number in ours; -1: none */
	char name[IF_NAMESIZE];
	char kind[16]; /* "veth", "wireguard", ... */
	uint32_t mtu;
	bool up;
	bool carrier; /* of a veth: both ends are up */
	unsigned int rx_queues, tx_queues;
	uint16_t type;	   /* ARPHRD_... */
	int master;	   /* ifindex of the bridge, bond, ... whose port it is; 0: none */
	uint16_t udp_port; /* of a VXLAN or Geneve device, host byte order; 0: of another kind */
	bool ethernet;	   /* it has a MAC address */
	uint8_t mac[6];
};

/* -ENODEV: no such device. */
int link_get(const char *name, struct link_info *out);
int link_get_index(int ifindex, struct link_info *out);
/* The other end of a pair, also in another namespace. -ENODEV: there is none. */
int link_get_peer(const struct link_info *l, struct link_info *out);

/* All devices of this network namespace. */
int link_each(void (*each)(void *context, const struct link_info *l), void *context);

/* Is this a name that the kernel would take? NULL, or what is wrong with it. */
const char *link_name_problem(const char *name);

/* A veth pair delivers what was sent on queue i to queue i - 1 of the other end, and what was sent
 * on queue 0 to queue 0: the kernel counts recorded queues from one, and veth does not convert
 * (since Linux 5.18). So the tunnel end has one more, and classify leaves out the first. */
#define LINK_TUNNEL_TX_QUEUES(queues) ((queues) > 1 ? (queues) + 1 : 1)

/* The inner end takes whatever the worker or the kernel sends, so that nothing that the tunnel device
 * would take is refused on the way. veth has no more. */
#define LINK_INNER_MTU 65535

/* Creates the pair, both ends down, with `queues` queues each way, NOARP, no IPv6 address
 * generation, and only those offloads on the tunnel end that the worker can undo (all of them off
 * where not `superpackets`). Both have MAC addresses that were given to them, not made by the
 * kernel: those udevd would replace (MACAddressPolicy=persistent). -EEXIST: a device of that name
 * is there. On failure nothing stays. */
int link_pair_create(const char *tunnel, const char *inner, unsigned int queues, uint32_t mtu,
		     bool superpackets);
int link_delete(int ifindex);
int link_set_up(int ifindex, bool up);
/* Down for a moment where the kernel renames only what is down (before Linux 6.2). */
int link_rename(int ifindex, const char *name);
int link_set_mtu(int ifindex, uint32_t mtu);
/* Offloads as for link_pair_create(), on a device that exists (adopting it, or after a move). */
int link_set_offloads(const char *name, bool superpackets);

/* Watching. Readable fd; link_watch_read() drains it and calls back for each event. */
struct link_watch;
enum link_event {
	LINK_CHANGED,
	LINK_GONE,
	LINK_IN_OTHER_NAMESPACE, /* something about a device of another network namespace; link: NULL */
	LINK_OVERRUN,		 /* events lost: look at everything; link: NULL */
};
/* Of other network namespaces, those tell that have a number here (link_get_peer() sees to it), and
 * only whoever has CAP_NET_BROADCAST hears it. */
int link_watch_new(struct link_watch **out);
void link_watch_free(struct link_watch *w);
int link_watch_fd(const struct link_watch *w);
int link_watch_read(struct link_watch *w,
		    void (*event)(void *context, enum link_event e, const struct link_info *link),
		    void *context);

#endif
