/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/inject.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/late_close.h"
#include "base/socket_option.h"
#include "datapath/oversize.h"

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
	struct late_close late;
	const struct inject_target *to;
	struct ether_header ethernet4, ethernet6;
	uint32_t fragment_id; /* of the next packet that needs one */
	uint8_t fragment_headers[BATCH][FRAGMENT_MAX_HEADER];
	struct prefix prefixes[BATCH];
	struct iovec pieces[BATCH][1 + JOIN_MAX_PIECES];
	struct mmsghdr messages[BATCH];
};

int inject_open(int inner_ifindex, const struct inject_target *to, struct inject **out)
{
	struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_ifindex = inner_ifindex};
	struct inject *i = calloc(1, sizeof(*i));
	int err;

	if (!i)
		return -ENOMEM;
	i->late = (struct late_close)LATE_CLOSE_NONE;
	/* Protocol 0: the socket receives nothing. */
	i->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (i->fd < 0) {
		err = -errno;
		goto fail;
	}
	err = socket_option_set(i->fd, SOL_PACKET, PACKET_VNET_HDR, 1);
	if (err)
		goto fail;
	/* A veth device has no queue, so nothing is lost by the bypass. */
	socket_option_set(i->fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1);
	socket_option_set(i->fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER);
	if (bind(i->fd, (struct sockaddr *)&where, sizeof(where))) {
		err = -errno;
		goto fail;
	}
	late_close_begin(&i->late, i->fd);
	i->to = to;
	/* A random start, so that ids cannot be guessed. If the kernel has no random bytes yet,
	 * 1. */
	if (getrandom(&i->fragment_id, sizeof(i->fragment_id), GRND_NONBLOCK) < 0)
		i->fragment_id = 1;
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
	late_close_end(&i->late);
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

/* Sends the first `n` messages. Refused ones are counted as dropped, if `packets` is given. Returns
 * how many the kernel took. */
static unsigned int send_all(struct inject *i, unsigned int n, const struct joined *packets,
			     struct pv_counters *count)
{
	unsigned int done = 0, taken = 0;

	while (done < n) {
		int sent = sendmmsg(i->fd, i->messages + done, n - done, MSG_DONTWAIT);

		count->injections++;
		if (sent > 0) {
			done += (unsigned int)sent;
			taken += (unsigned int)sent;
		} else if (errno != EINTR) {
			if (packets)
				count->drop_inject += packets[done].segments;
			done++;
		}
	}
	return taken;
}

/* Sends a packet that is too large for the device as fragments. */
static void send_fragments(struct inject *i, const struct joined *p, uint32_t mtu,
			   struct pv_counters *count)
{
	struct fragmenter f;
	uint32_t headers = 1;
	bool lost = !fragment_begin(&f, p->pieces[0].iov_base, p->length, mtu, i->fragment_id++);

	while (!lost && headers) {
		unsigned int n = 0;

		while (n < BATCH &&
		       (headers = fragment_next(&f, i->fragment_headers[n], &i->pieces[n][2]))) {
			i->prefixes[n].vnet = (struct virtio_net_hdr){0};
			i->prefixes[n].ethernet = p->version == 6 ? i->ethernet6 : i->ethernet4;
			i->pieces[n][1] = (struct iovec){i->fragment_headers[n], headers};
			i->messages[n++].msg_hdr.msg_iovlen = 3;
		}
		lost = send_all(i, n, NULL, count) < n;
	}
	if (lost)
		count->drop_inject += p->segments;
	else
		count->ingress_superpackets++;
}

/* Sends the first packets, up to one that needs fragments, at most BATCH. Returns how many. */
static unsigned int send_some(struct inject *i, const struct joined *packets, size_t n,
			      uint32_t mtu, struct pv_counters *count)
{
	unsigned int batch = 0;

	for (; batch < n && batch < BATCH; batch++) {
		struct joined p = packets[batch];

		if (p.length > mtu && p.vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE &&
		    !oversize_tcp(&p, mtu))
			break;
		prepare(i, batch, &p);
	}
	count->ingress_superpackets += send_all(i, batch, packets, count);
	return batch;
}

void inject_send(struct inject *i, const struct joined *packets, size_t n,
		 struct pv_counters *count)
{
	const uint32_t mtu = atomic_load_explicit(&i->to->mtu, memory_order_relaxed);
	const uint64_t mac = atomic_load_explicit(&i->to->mac, memory_order_relaxed);

	memcpy(i->ethernet4.ether_dhost, &mac, ETH_ALEN);
	memcpy(i->ethernet6.ether_dhost, &mac, ETH_ALEN);
	while (n) {
		unsigned int some = send_some(i, packets, n, mtu, count);

		if (!some) {
			send_fragments(i, packets, mtu, count);
			some = 1;
		}
		packets += some;
		n -= some;
	}
}
