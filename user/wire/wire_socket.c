/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets of a wire. */
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wire/destination.h"
#include "wire/wire_parts.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* One joined datagram of the kernel's is at most 64 KiB. */
#define RECEIVE_SIZE 65536
/* Room for what arrives while the worker is not running; the kernel doubles it for its overhead. */
#define SOCKET_BUFFER (4 << 20)

static int set_int(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) ? -errno : 0;
}

/* The options that make the socket a wire. Segmentation and joining may be missing (Linux before
 * 4.18 and 5.0): then it works a message at a time. */
static int configure(int fd, int family, uint32_t fwmark)
{
	const bool v4 = family == AF_INET;
	int err = set_int(fd, SOL_SOCKET, SO_MARK, (int)fwmark);

	/* Without the mark, outer packets would be routed into the tunnel again. */
	if (err && fwmark)
		return err;
	err = set_int(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_PKTINFO : IPV6_RECVPKTINFO, 1);
	if (err)
		return err;
	err = set_int(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVTOS : IPV6_RECVTCLASS, 1);
	if (err)
		return err;
	/* A message larger than the path is fragmented, as the kernel's WireGuard does; it would be
	 * lost otherwise, since nobody can tell the inner sender in time. */
	if (v4)
		set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	else
		set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
	set_int(fd, IPPROTO_UDP, UDP_GRO, 1);
	set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
	if (set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER))
		set_int(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER);
	if (set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER))
		set_int(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER);
	return 0;
}

/* Binds the first socket of a group alone, so that a port that somebody else shares is refused, and
 * lets the others of the group in afterwards. */
static int open_socket(int family, uint16_t port, uint32_t fwmark, bool first, int *out)
{
	struct endpoint any = {.to.any.sa_family = (sa_family_t)family};
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = configure(fd, family, fwmark);
	if (err)
		goto fail;
	if (family == AF_INET6) {
		err = set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
		if (err)
			goto fail;
		any.to.v6.sin6_port = htons(port);
	} else {
		any.to.v4.sin_port = htons(port);
	}
	if (!first) {
		err = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
		if (err)
			goto fail;
	}
	if (bind(fd, &any.to.any, endpoint_len(&any))) {
		err = -errno;
		goto fail;
	}
	if (first) {
		err = set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
		if (err)
			goto fail;
	}
	*out = fd;
	return 0;
fail:
	close(fd);
	return err;
}

static int local_port(int fd, uint16_t *port)
{
	struct sockaddr_in6 a; /* the port lies where that of IPv4 does */
	socklen_t len = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &len))
		return -errno;
	*port = ntohs(a.sin6_port);
	return 0;
}

static int open_group(struct wire **wires, unsigned int n, uint16_t *port, uint32_t fwmark)
{
	int err = 0;

	for (unsigned int i = 0; i < n && !err; i++) {
		err = open_socket(AF_INET, *port, fwmark, i == 0, &wires[i]->fd4);
		if (!err && !*port)
			err = local_port(wires[i]->fd4, port);
		if (!err)
			err = open_socket(AF_INET6, *port, fwmark, i == 0, &wires[i]->fd6);
		if (err == -EAFNOSUPPORT)
			err = 0;
	}
	return err;
}

static void close_sockets(struct wire *w)
{
	if (w->fd4 >= 0)
		close(w->fd4);
	if (w->fd6 >= 0)
		close(w->fd6);
	w->fd4 = w->fd6 = -1;
}

int wire_open_all(struct wire **out, unsigned int n, uint16_t *port, uint32_t fwmark)
{
	struct wire *wires[PV_MAX_WORKERS] = {NULL};
	uint16_t chosen;
	int err = 0;

	for (unsigned int i = 0; i < n; i++) {
		wires[i] = calloc(1, sizeof(*wires[i]));
		if (!wires[i]) {
			err = -ENOMEM;
			goto fail;
		}
		wires[i]->fd4 = wires[i]->fd6 = -1;
	}
	/* A port that is free for IPv4 may be taken for IPv6: where any port will do, try others.
	 */
	for (unsigned int attempt = 0; attempt < 100; attempt++) {
		chosen = *port;
		err = open_group(wires, n, &chosen, fwmark);
		if (err != -EADDRINUSE || *port)
			break;
		for (unsigned int i = 0; i < n; i++)
			close_sockets(wires[i]);
	}
	if (err)
		goto fail;
	*port = chosen;
	for (unsigned int i = 0; i < n; i++) {
		wires[i]->port = chosen;
		wires[i]->fwmark = fwmark;
	}
	memcpy(out, wires, n * sizeof(*wires));
	return 0;
fail:
	for (unsigned int i = 0; i < n; i++)
		wire_close(wires[i]);
	return err;
}

int wire_open_another(const struct wire *like, struct wire **out)
{
	struct wire *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	*w = (struct wire){.fd4 = -1, .fd6 = -1, .port = like->port, .fwmark = like->fwmark};
	err = open_socket(AF_INET, w->port, w->fwmark, false, &w->fd4);
	if (!err && like->fd6 >= 0)
		err = open_socket(AF_INET6, w->port, w->fwmark, false, &w->fd6);
	if (err)
		wire_close(w);
	else
		*out = w;
	return err;
}

void wire_hand(const struct wire *w, struct wire_handed *out)
{
	*out = (struct wire_handed){
		.fd4 = w->fd4,
		.fd6 = w->fd6,
		.port = w->port,
		.fwmark = w->fwmark,
		.dropped4 = w->dropped4,
		.dropped6 = w->dropped6,
	};
}

static bool is_udp_on(int fd, int family, uint16_t port)
{
	int domain = 0, protocol = 0;
	socklen_t len = sizeof(domain);
	uint16_t its = 0;

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain == family &&
	       !getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) &&
	       protocol == IPPROTO_UDP && !local_port(fd, &its) && its == port;
}

int wire_adopt(const struct wire_handed *handed, struct wire **out)
{
	struct wire *w;

	if (!is_udp_on(handed->fd4, AF_INET, handed->port) ||
	    (handed->fd6 >= 0 && !is_udp_on(handed->fd6, AF_INET6, handed->port)))
		return -EINVAL;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	*w = (struct wire){
		.fd4 = handed->fd4,
		.fd6 = handed->fd6,
		.port = handed->port,
		.fwmark = handed->fwmark,
		.dropped4 = handed->dropped4,
		.dropped6 = handed->dropped6,
	};
	*out = w;
	return 0;
}

void wire_leave_group(struct wire *w)
{
	const struct sockaddr_in to4 = {.sin_family = AF_INET,
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
					.sin_port = htons(w->port)};
	const struct sockaddr_in6 to6 = {.sin6_family = AF_INET6,
					 .sin6_addr = IN6ADDR_LOOPBACK_INIT,
					 .sin6_port = htons(w->port)};

	/* Connecting the socket takes it out of the SO_REUSEPORT group: the kernel delivers nothing
	 * new to it. If there is no loopback device, it stays in the group, and what arrives until
	 * it is closed is lost. */
	if (connect(w->fd4, (const struct sockaddr *)&to4, sizeof(to4)) ||
	    (w->fd6 >= 0 && connect(w->fd6, (const struct sockaddr *)&to6, sizeof(to6))))
		return;
}

void wire_close(struct wire *w)
{
	if (!w)
		return;
	close_sockets(w);
	free(w);
}

int wire_set_fwmark(struct wire *w, uint32_t fwmark)
{
	int err = set_int(w->fd4, SOL_SOCKET, SO_MARK, (int)fwmark);

	if (!err && w->fd6 >= 0)
		err = set_int(w->fd6, SOL_SOCKET, SO_MARK, (int)fwmark);
	if (!err)
		w->fwmark = fwmark;
	return err;
}

struct wire_buffers *wire_buffers_new(void)
{
	struct wire_buffers *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->memory = aligned_alloc(4096, (size_t)WIRE_RECEIVE_BUFFERS * RECEIVE_SIZE);
	if (!b->memory) {
		free(b);
		return NULL;
	}
	return b;
}

void wire_buffers_free(struct wire_buffers *b)
{
	if (!b)
		return;
	explicit_bzero(b->memory, (size_t)WIRE_RECEIVE_BUFFERS * RECEIVE_SIZE);
	free(b->memory);
	free(b);
}

static void *add_control(struct msghdr *m, int level, int type, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)((uint8_t *)m->msg_control + m->msg_controllen);

	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	m->msg_controllen += CMSG_SPACE(len);
	return CMSG_DATA(c);
}

/* Destination, source address, TOS byte and segment size of a message. */
static void address(struct msghdr *m, union wire_control *control, const struct endpoint *e,
		    uint8_t tos, uint16_t segment)
{
	const bool v4 = e->to.any.sa_family == AF_INET;

	m->msg_name = (void *)&e->to;
	m->msg_namelen = endpoint_len(e);
	m->msg_control = control;
	m->msg_controllen = 0;
	if (v4 && e->from.v4.s_addr) {
		/* No interface: the route decides, as in the kernel's WireGuard. */
		struct in_pktinfo info = {.ipi_spec_dst = e->from.v4};

		memcpy(add_control(m, IPPROTO_IP, IP_PKTINFO, sizeof(info)), &info, sizeof(info));
	} else if (!v4 && !IN6_IS_ADDR_UNSPECIFIED(&e->from.v6)) {
		struct in6_pktinfo info = {.ipi6_addr = e->from.v6};

		memcpy(add_control(m, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(info)), &info,
		       sizeof(info));
	}
	if (tos) {
		int value = tos;

		memcpy(add_control(m, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS,
				   sizeof(value)),
		       &value, sizeof(value));
	}
	if (segment)
		memcpy(add_control(m, IPPROTO_UDP, UDP_SEGMENT, sizeof(segment)), &segment,
		       sizeof(segment));
	if (!m->msg_controllen)
		m->msg_control = NULL;
}

static int socket_for(const struct wire *w, const struct endpoint *e)
{
	return e->to.any.sa_family == AF_INET6 ? w->fd6 : w->fd4;
}

static int send_message(struct wire *w, const struct endpoint *to, const void *message, size_t len,
			uint8_t tos, uint16_t segment)
{
	struct iovec piece = {.iov_base = (void *)message, .iov_len = len};
	struct msghdr m = {.msg_iov = &piece, .msg_iovlen = 1};
	union wire_control control;
	int fd = socket_for(w, to);

	if (fd < 0)
		return -EAFNOSUPPORT;
	address(&m, &control, to, tos, segment);
	return sendmsg(fd, &m, MSG_DONTWAIT) < 0 ? -errno : 0;
}

int wire_send_one(struct wire *w, const struct endpoint *to, const void *message, size_t len,
		  uint8_t tos)
{
	return send_message(w, to, message, len, tos, 0);
}

int wire_send_equal(struct wire *w, const struct endpoint *to, const void *messages, unsigned int n,
		    uint16_t size, uint8_t tos)
{
	return send_message(w, to, messages, (size_t)n * size, tos, size);
}

static void count_refused(struct pv_counters *count, int err, uint64_t messages)
{
	if (err == -EAGAIN || err == -ENOBUFS || err == -ENOMEM)
		count->drop_wire_full += messages;
	else
		count->drop_wire_error += messages;
}

/* A run that the kernel did not take as it was: message by message, with a source of the kernel's
 * choice where ours is no longer an address of this machine. */
static void send_slowly(struct wire *w, const struct wire_run *run, const struct endpoint *to,
			struct pv_counters *count)
{
	struct endpoint e = *to;

	for (uint32_t done = 0; done < run->length; done += run->segment) {
		uint32_t len = run->length - done;

		if (len > run->segment)
			len = run->segment;
		int err = wire_send_one(w, &e, run->data + done, len, run->tos);

		count->wire_sends++;
		if (err == -EINVAL || err == -EADDRNOTAVAIL || err == -ENETUNREACH) {
			memset(&e.from, 0, sizeof(e.from));
			destination_forget_source(run->to);
			err = wire_send_one(w, &e, run->data + done, len, run->tos);
		}
		if (err)
			count_refused(count, err, 1);
		else
			count->wire_messages_sent++;
	}
}

/* Sends the runs of one IP version, in order. */
static void send_family(struct wire *w, struct wire_buffers *b, const struct wire_run *runs,
			unsigned int n, struct pv_counters *count)
{
	int fd = socket_for(w, &b->endpoints[0]);
	unsigned int done = 0;

	if (fd < 0) {
		for (unsigned int i = 0; i < n; i++)
			count->drop_wire_error += runs[i].messages;
		return;
	}
	while (done < n) {
		int sent = sendmmsg(fd, b->messages + done, n - done, MSG_DONTWAIT);
		int err = sent < 0 ? -errno : 0;

		count->wire_sends++;
		for (int i = 0; i < sent; i++)
			count->wire_messages_sent += runs[done++].messages;
		if (!err)
			continue;
		if (err == -EINTR)
			continue;
		/* EIO: no checksum offload on the device; EINVAL, EMSGSIZE: messages above the
		 * path's MTU cannot be cut by the kernel, or the source is not ours. */
		if (err == -EAGAIN || err == -ENOBUFS || err == -ENOMEM)
			count_refused(count, err, runs[done].messages);
		else
			send_slowly(w, &runs[done], &b->endpoints[done], count);
		done++;
	}
}

void wire_socket_send(struct wire *w, struct wire_buffers *b, const struct wire_run *runs,
		      unsigned int n, struct pv_counters *count)
{
	unsigned int start = 0;

	while (start < n) {
		unsigned int batch = 0;

		for (; start + batch < n && batch < WIRE_SEND_RUNS; batch++) {
			const struct wire_run *run = &runs[start + batch];
			struct msghdr *m = &b->messages[batch].msg_hdr;
			struct endpoint *e = &b->endpoints[batch];

			if (!destination_get(run->to, e))
				break;
			if (batch && e->to.any.sa_family != b->endpoints[0].to.any.sa_family)
				break;
			b->pieces[batch] = (struct iovec){run->data, run->length};
			*m = (struct msghdr){.msg_iov = &b->pieces[batch], .msg_iovlen = 1};
			address(m, &b->controls[batch], e, run->tos,
				run->messages > 1 ? run->segment : 0);
		}
		if (!batch) {
			count->drop_no_endpoint += runs[start++].messages;
			continue;
		}
		send_family(w, b, runs + start, batch, count);
		start += batch;
	}
}

static void read_controls(struct msghdr *m, struct wire_received *r, uint32_t *dropped)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		const void *data = CMSG_DATA(c);

		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
			memcpy(dropped, data, sizeof(*dropped));
		} else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			int segment;

			memcpy(&segment, data, sizeof(segment));
			r->segment = (uint16_t)segment;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			memcpy(&r->tos, data, sizeof(r->tos));
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
			int tclass;

			memcpy(&tclass, data, sizeof(tclass));
			r->tos = (uint8_t)tclass;
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, data, sizeof(info));
			r->from.from.v4 = info.ipi_spec_dst;
			r->from.from_ifindex = info.ipi_ifindex;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, data, sizeof(info));
			r->from.from.v6 = info.ipi6_addr;
			r->from.from_ifindex = (int)info.ipi6_ifindex;
		}
	}
}

unsigned int wire_socket_receive(struct wire *w, struct wire_buffers *b, bool ipv6,
				 struct wire_received *out, struct pv_counters *count)
{
	int fd = ipv6 ? w->fd6 : w->fd4;
	uint32_t *dropped = ipv6 ? &w->dropped6 : &w->dropped4;
	const uint32_t before = *dropped;

	if (fd < 0)
		return 0;
	for (unsigned int i = 0; i < WIRE_RECEIVE_BUFFERS; i++) {
		b->pieces[i] = (struct iovec){b->memory + (size_t)i * RECEIVE_SIZE, RECEIVE_SIZE};
		b->messages[i].msg_hdr = (struct msghdr){
			.msg_name = &out[i].from.to,
			.msg_namelen = sizeof(out[i].from.to),
			.msg_iov = &b->pieces[i],
			.msg_iovlen = 1,
			.msg_control = &b->controls[i],
			.msg_controllen = sizeof(b->controls[i]),
		};
	}
	int n = recvmmsg(fd, b->messages, WIRE_RECEIVE_BUFFERS, MSG_DONTWAIT, NULL);

	count->wire_receives++;
	if (n <= 0)
		return 0;
	for (int i = 0; i < n; i++) {
		struct wire_received *r = &out[i];

		r->data = b->pieces[i].iov_base;
		r->length = b->messages[i].msg_len;
		r->segment = 0;
		r->tos = 0;
		memset(&r->from.from, 0, sizeof(r->from.from));
		r->from.from_ifindex = 0;
		read_controls(&b->messages[i].msg_hdr, r, dropped);
		if (!r->segment)
			r->segment = (uint16_t)(r->length < UINT16_MAX ? r->length : UINT16_MAX);
	}
	/* A message says what was dropped before it, where that is anything. */
	count->socket_full += *dropped - before;
	return (unsigned int)n;
}
