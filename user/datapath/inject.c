/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/inject.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netlink/link.h"

#ifndef PACKET_VNET_HDR
#define PACKET_VNET_HDR 15
#endif
#ifndef PACKET_QDISC_BYPASS
#define PACKET_QDISC_BYPASS 20
#endif

/* One system call carries this many packets. */
#define BATCH	      64
#define SOCKET_BUFFER (4 << 20)

/* In front of each packet; the virtio header first, as the socket expects it. */
struct prefix {
	struct virtio_net_hdr vnet;
	struct ether_header ethernet;
} __attribute__((packed));

struct inject {
	int fd;
	struct ether_header ethernet4, ethernet6;
	struct prefix prefixes[BATCH];
	struct iovec pieces[BATCH][1 + JOIN_MAX_PIECES];
	struct mmsghdr messages[BATCH];
};

/* The tunnel device takes only what bears its own address. */
static int tunnel_address(int inner_ifindex, uint8_t out[ETH_ALEN])
{
	struct link_info inner, tunnel;
	struct ifreq request;
	int err = link_get_index(inner_ifindex, &inner);
	int fd;

	if (err)
		return err;
	err = link_get_index(inner.peer_ifindex, &tunnel);
	if (err)
		return err;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	memset(&request, 0, sizeof(request));
	memcpy(request.ifr_name, tunnel.name, sizeof(request.ifr_name));
	if (ioctl(fd, SIOCGIFHWADDR, &request))
		err = -errno;
	close(fd);
	if (!err)
		memcpy(out, request.ifr_hwaddr.sa_data, ETH_ALEN);
	return err;
}

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

int inject_open(int inner_ifindex, struct inject **out)
{
	struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_ifindex = inner_ifindex};
	struct inject *i = calloc(1, sizeof(*i));
	int err;

	if (!i)
		return -ENOMEM;
	/* Protocol 0: the socket receives nothing. */
	i->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (i->fd < 0) {
		err = -errno;
		goto fail;
	}
	err = set_int(i->fd, SOL_PACKET, PACKET_VNET_HDR, 1);
	if (err)
		goto fail;
	/* veth has no queue to wait in. */
	set_int(i->fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);
	set_int(i->fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER);
	if (bind(i->fd, (struct sockaddr *)&where, sizeof(where))) {
		err = -errno;
		goto fail;
	}
	err = tunnel_address(inner_ifindex, i->ethernet4.ether_dhost);
	if (err)
		goto fail;
	i->ethernet6 = i->ethernet4;
	i->ethernet4.ether_type = htons(ETHERTYPE_IP);
	i->ethernet6.ether_type = htons(ETHERTYPE_IPV6);
	for (unsigned int k = 0; k < BATCH; k++) {
		i->pieces[k][0] = (struct iovec){&i->prefixes[k], sizeof(i->prefixes[k])};
		i->messages[k].msg_hdr.msg_iov = i->pieces[k];
	}
	*out = i;
	return 0;
fail:
	inject_close(i);
	return err;
}

void inject_close(struct inject *i)
{
	if (!i)
		return;
	if (i->fd >= 0)
		close(i->fd);
	free(i);
}

static void prepare(struct inject *i, unsigned int k, const struct joined *p)
{
	struct prefix *prefix = &i->prefixes[k];

	prefix->vnet = p->vnet;
	prefix->ethernet = p->version == 6 ? i->ethernet6 : i->ethernet4;
	memcpy(&i->pieces[k][1], p->pieces, p->n_pieces * sizeof(*p->pieces));
	i->messages[k].msg_hdr.msg_iovlen = 1u + p->n_pieces;
}

void inject_send(struct inject *i, const struct joined *packets, size_t n,
		 struct pv_counters *count)
{
	while (n) {
		unsigned int batch = n < BATCH ? (unsigned int)n : BATCH;
		unsigned int done = 0;

		for (unsigned int k = 0; k < batch; k++)
			prepare(i, k, &packets[k]);
		while (done < batch) {
			int sent = sendmmsg(i->fd, i->messages + done, batch - done, MSG_DONTWAIT);

			count->injections++;
			if (sent > 0) {
				count->ingress_superpackets += (unsigned int)sent;
				done += (unsigned int)sent;
			} else if (errno != EINTR) {
				count->drop_inject += packets[done++].segments;
			}
		}
		packets += batch;
		n -= batch;
	}
}
