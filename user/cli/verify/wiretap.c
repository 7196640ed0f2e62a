/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verify/wiretap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#define BATCH	    64
#define ROOM	    (16 << 20) /* buffer in the kernel, bytes */
#define TYPE_OFFSET 12	       /* of the EtherType, in bytes */

struct slot {
	struct virtio_net_hdr vnet;
	uint8_t data[WIRETAP_BYTES];
};

struct wiretap {
	int fd;
	bool vnet; /* frames have a virtio header, which holds the segment size */
	uint64_t missed;
	struct slot slots[BATCH];
	struct sockaddr_ll from[BATCH];
	struct iovec pieces[BATCH][2];
	/* Holds the frame's length before the filter cut it. */
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
	} beside[BATCH];
	struct mmsghdr messages[BATCH];
};

/* Passes only IPv4 and IPv6, with or without VLAN tag, and only the first bytes of each frame. */
static int set_filter(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, TYPE_OFFSET),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IP, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_IPV6, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETHERTYPE_VLAN, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_8021AD, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, WIRETAP_BYTES),
	};
	const struct sock_fprog program = {sizeof(code) / sizeof(*code), code};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

/* Before Linux 6.2 the virtio header cannot describe a UDP superpacket, and the frame is lost. */
static bool vnet_is_whole(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;

	return !uname(&name) && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 2));
}

static int set_up(struct wiretap *w, int ifindex)
{
	struct sockaddr_ll where = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = ifindex};
	socklen_t len = sizeof(where);
	const int one = 1, room = ROOM;
	int err = set_filter(w->fd);

	if (err)
		return err;
	w->vnet = vnet_is_whole() &&
		  !setsockopt(w->fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one));
	if (setsockopt(w->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		setsockopt(w->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (setsockopt(w->fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)))
		return -errno;
	/* The filter is attached already: no other frames can get in. */
	if (bind(w->fd, (struct sockaddr *)&where, sizeof(where)) ||
	    getsockname(w->fd, (struct sockaddr *)&where, &len))
		return -errno;
	return where.sll_hatype == ARPHRD_ETHER || where.sll_hatype == ARPHRD_LOOPBACK ? 0
										       : -ENOTSUP;
}

int wiretap_open(int ifindex, struct wiretap **out)
{
	struct wiretap *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = w->fd < 0 ? -errno : set_up(w, ifindex);
	if (err) {
		wiretap_close(w);
		return err;
	}
	for (unsigned int i = 0; i < BATCH; i++) {
		w->pieces[i][0] = (struct iovec){&w->slots[i].vnet, sizeof(w->slots[i].vnet)};
		w->pieces[i][1] = (struct iovec){w->slots[i].data, WIRETAP_BYTES};
		w->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &w->from[i],
			.msg_namelen = sizeof(w->from[i]),
			.msg_iov = w->pieces[i] + !w->vnet,
			.msg_iovlen = 1 + w->vnet,
			.msg_control = &w->beside[i],
		};
	}
	*out = w;
	return 0;
}

void wiretap_close(struct wiretap *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	free(w);
}

int wiretap_fd(const struct wiretap *w)
{
	return w->fd;
}

static size_t true_length(struct msghdr *m, size_t otherwise)
{
	const struct cmsghdr *c = CMSG_FIRSTHDR(m);
	struct tpacket_auxdata aux;

	if (!c || c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
		return otherwise;
	memcpy(&aux, CMSG_DATA(c), sizeof(aux));
	return aux.tp_len;
}

int wiretap_read(struct wiretap *w, void (*each)(void *context, const struct wiretap_frame *f),
		 void *context)
{
	const size_t head = w->vnet ? sizeof(struct virtio_net_hdr) : 0;
	int n;

	for (unsigned int i = 0; i < BATCH; i++) {
		w->messages[i].msg_hdr.msg_namelen = sizeof(w->from[i]);
		w->messages[i].msg_hdr.msg_controllen = sizeof(w->beside[i]);
	}
	n = recvmmsg(w->fd, w->messages, BATCH, MSG_DONTWAIT, NULL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		const size_t len = w->messages[i].msg_len;
		struct wiretap_frame f = {
			.data = w->slots[i].data,
			.captured = len > head ? len - head : 0,
			.segment = w->vnet && w->slots[i].vnet.gso_type ? w->slots[i].vnet.gso_size
									: 0,
			.outgoing = w->from[i].sll_pkttype == PACKET_OUTGOING,
		};

		f.length = true_length(&w->messages[i].msg_hdr, f.captured);
		each(context, &f);
	}
	return n;
}

uint64_t wiretap_missed(struct wiretap *w)
{
	struct tpacket_stats s;
	socklen_t len = sizeof(s);

	/* Reading the statistics resets them. */
	if (!getsockopt(w->fd, SOL_PACKET, PACKET_STATISTICS, &s, &len))
		w->missed += s.tp_drops;
	return w->missed;
}
