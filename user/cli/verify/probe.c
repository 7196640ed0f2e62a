/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verify/probe.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The header of an echo, for both IP versions. */
struct echo {
	uint8_t type, code;
	uint16_t checksum;
	uint16_t identifier, target;
};

#define MAX_MARKER 64

struct probe {
	int fd4, fd6;
	uint16_t identifier;
	const uint8_t *marker;
	size_t len;
};

int probe_new(const uint8_t *marker, size_t len, struct probe **out)
{
	struct probe *p;
	int err;

	if (len > MAX_MARKER)
		return -EINVAL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->marker = marker;
	p->len = len;
	p->identifier = (uint16_t)randombytes_random();
	p->fd4 = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP);
	err = p->fd4 < 0 ? -errno : 0;
	/* Without IPv6 in the kernel, fd6 is -1. */
	p->fd6 = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);
	if (err) {
		probe_free(p);
		return err;
	}
	*out = p;
	return 0;
}

void probe_free(struct probe *p)
{
	if (!p)
		return;
	if (p->fd4 >= 0)
		close(p->fd4);
	if (p->fd6 >= 0)
		close(p->fd6);
	free(p);
}

int probe_fd(const struct probe *p, int family)
{
	return family == AF_INET ? p->fd4 : p->fd6;
}

static uint16_t checksum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

int probe_send(struct probe *p, const struct cidr *to, uint16_t target)
{
	uint8_t message[sizeof(struct echo) + MAX_MARKER];
	const size_t len = sizeof(struct echo) + p->len;
	struct echo head = {.type = to->family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST,
			    .identifier = p->identifier,
			    .target = htons(target)};
	struct sockaddr_in to4 = {.sin_family = AF_INET};
	struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
	ssize_t sent;

	memcpy(message, &head, sizeof(head));
	memcpy(message + sizeof(head), p->marker, p->len);
	if (to->family == AF_INET) {
		head.checksum = checksum(message, len);
		memcpy(message, &head, sizeof(head));
		memcpy(&to4.sin_addr, to->address, 4);
		sent = sendto(p->fd4, message, len, 0, (struct sockaddr *)&to4, sizeof(to4));
	} else {
		/* The kernel computes the checksum. */
		memcpy(&to6.sin6_addr, to->address, 16);
		sent = sendto(p->fd6, message, len, 0, (struct sockaddr *)&to6, sizeof(to6));
	}
	return sent < 0 ? -errno : 0;
}

int probe_receive(struct probe *p, int family)
{
	const uint8_t answer = family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;
	uint8_t packet[256];
	struct echo head;

	for (;;) {
		const ssize_t got = recv(probe_fd(p, family), packet, sizeof(packet), MSG_DONTWAIT);
		size_t at;

		if (got < 0)
			return errno == EINTR ? -EAGAIN : -errno;
		at = family == AF_INET ? (size_t)(packet[0] & 15) * 4 : 0;
		if ((size_t)got < at + sizeof(head) + p->len)
			continue;
		memcpy(&head, packet + at, sizeof(head));
		if (head.type == answer && head.identifier == p->identifier &&
		    !memcmp(packet + at + sizeof(head), p->marker, p->len))
			return ntohs(head.target);
	}
}
