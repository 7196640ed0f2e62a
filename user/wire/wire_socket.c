/* SPDX-License-Identifier: Apache-2.0 */
/* Messages through the sockets of a wire. */
#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

#include "wire/destination.h"
#include "wire/wire_parts.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
/* One joined datagram of the kernel's is at most 64 KiB. */
#define RECEIVE_SIZE 65536

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
