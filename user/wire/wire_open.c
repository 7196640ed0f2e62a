/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/wire_open.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/socket_option.h"
#include "wire/wire_parts.h"

/* Room for what arrives while the worker is not running; the kernel doubles it for its overhead. */
#define SOCKET_BUFFER (4 << 20)

/* The options that make the socket a wire. Segmentation and joining may be missing (Linux before
 * 4.18 and 5.0): then it works a message at a time. */
static int configure(int fd, int family, uint32_t fwmark)
{
	const bool v4 = family == AF_INET;
	int err = socket_option_set(fd, SOL_SOCKET, SO_MARK, (int)fwmark);

	/* Without the mark, outer packets would be routed into the tunnel again. */
	if (err && fwmark)
		return err;
	err = socket_option_set(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6,
				v4 ? IP_PKTINFO : IPV6_RECVPKTINFO, 1);
	if (err)
		return err;
	err = socket_option_set(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6,
				v4 ? IP_RECVTOS : IPV6_RECVTCLASS, 1);
	if (err)
		return err;
	/* A message larger than the path is fragmented, as the kernel's WireGuard does; it would be
	 * lost otherwise, since nobody can tell the inner sender in time. */
	if (v4)
		socket_option_set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
	else
		socket_option_set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
	socket_option_set(fd, IPPROTO_UDP, UDP_GRO, 1);
	socket_option_set(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
	if (socket_option_set(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER))
		socket_option_set(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER);
	if (socket_option_set(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER))
		socket_option_set(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER);
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
		err = socket_option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
		if (err)
			goto fail;
		any.to.v6.sin6_port = htons(port);
	} else {
		any.to.v4.sin_port = htons(port);
	}
	if (!first) {
		err = socket_option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
		if (err)
			goto fail;
	}
	if (bind(fd, &any.to.any, endpoint_len(&any))) {
		err = -errno;
		goto fail;
	}
	if (first) {
		err = socket_option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
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
	int err = socket_option_set(w->fd4, SOL_SOCKET, SO_MARK, (int)fwmark);

	if (!err && w->fd6 >= 0)
		err = socket_option_set(w->fd6, SOL_SOCKET, SO_MARK, (int)fwmark);
	if (!err)
		w->fwmark = fwmark;
	return err;
}
