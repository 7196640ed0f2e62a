/* SPDX-License-Identifier: Apache-2.0 */
#include "packet/dissect.h"

#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define VXLAN_HEADER   8
#define UDP_HEADER     8
#define MAX_TAGS       2
#define MAX_EXTENSIONS 8

struct cursor {
	const uint8_t *data;
	size_t len, at;
};

static bool have(const struct cursor *c, size_t n)
{
	return c->len - c->at >= n;
}

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static bool read_ethernet(struct cursor *c, uint16_t *protocol)
{
	if (!have(c, 14))
		return false;
	*protocol = get16(c->data + c->at + 12);
	c->at += 14;
	for (int i = 0; i < MAX_TAGS && (*protocol == ETHERTYPE_VLAN || *protocol == 0x88a8); i++) {
		if (!have(c, 4))
			return false;
		*protocol = get16(c->data + c->at + 2);
		c->at += 4;
	}
	return *protocol == ETHERTYPE_IP || *protocol == ETHERTYPE_IPV6;
}

static struct cidr address(uint8_t family, const uint8_t *bytes)
{
	struct cidr c = {.family = family, .prefix_len = family == AF_INET ? 32 : 128};

	memcpy(c.address, bytes, family == AF_INET ? 4 : 16);
	return c;
}

static bool read_ip4(struct cursor *c, struct dissected_layer *l)
{
	const uint8_t *h = c->data + c->at;
	size_t size;

	if (!have(c, 20) || h[0] >> 4 != 4)
		return false;
	size = (size_t)(h[0] & 15) * 4;
	if (size < 20 || !have(c, size))
		return false;
	l->source = address(AF_INET, h + 12);
	l->destination = address(AF_INET, h + 16);
	l->protocol = h[9];
	l->fragment = get16(h + 6) & 0x1fff;
	c->at += size;
	return true;
}

static bool read_ip6(struct cursor *c, struct dissected_layer *l)
{
	const uint8_t *h = c->data + c->at;

	if (!have(c, 40) || h[0] >> 4 != 6)
		return false;
	l->source = address(AF_INET6, h + 8);
	l->destination = address(AF_INET6, h + 24);
	l->protocol = h[6];
	c->at += 40;
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		const uint8_t *e = c->data + c->at;
		size_t size;

		if (l->protocol != IPPROTO_HOPOPTS && l->protocol != IPPROTO_ROUTING &&
		    l->protocol != IPPROTO_FRAGMENT && l->protocol != IPPROTO_DSTOPTS)
			return true;
		if (!have(c, 8))
			break;
		size = l->protocol == IPPROTO_FRAGMENT ? 8 : 8 + (size_t)e[1] * 8;
		if (l->protocol == IPPROTO_FRAGMENT)
			l->fragment |= (get16(e + 2) & 0xfff8) != 0;
		if (!have(c, size))
			break;
		l->protocol = e[0];
		c->at += size;
	}
	/* The addresses are reported even if the rest is cut off or malformed. */
	l->protocol = IPPROTO_NONE;
	return true;
}

static bool read_ip(struct cursor *c, struct dissected_layer *l)
{
	if (!have(c, 1))
		return false;
	return c->data[c->at] >> 4 == 4 ? read_ip4(c, l) : read_ip6(c, l);
}

static bool is_wireguard_port(const struct dissect_ports *p, const struct dissected_layer *l)
{
	for (int i = 0; i < 2; i++)
		if (p->wireguard[i] &&
		    (l->source_port == p->wireguard[i] || l->destination_port == p->wireguard[i]))
			return true;
	return false;
}

/* Is what lies at the cursor the beginning of a WireGuard message? */
static void read_message(const struct cursor *c, struct dissected_frame *out)
{
	const uint8_t *m = c->data + c->at;

	if (!have(c, 4) || m[0] < 1 || m[0] > 4 || m[1] || m[2] || m[3])
		return;
	out->wireguard = true;
	out->message = m[0];
	out->payload = c->at;
}

/* Enters the inner packet. False: there is nothing more to read. */
static bool enter(struct cursor *c, const struct dissect_ports *ports, struct dissected_frame *out,
		  enum dissected_wrap *wrap)
{
	struct dissected_layer *l = &out->layers[out->n_layers - 1];
	uint16_t protocol;

	if (l->fragment)
		return false;
	if (l->protocol == IPPROTO_IPIP || l->protocol == IPPROTO_IPV6) {
		*wrap = DISSECT_IN_IP;
		return true;
	}
	if ((l->protocol != IPPROTO_UDP && l->protocol != IPPROTO_TCP) || !have(c, 4))
		return false;
	l->ports = true;
	l->source_port = get16(c->data + c->at);
	l->destination_port = get16(c->data + c->at + 2);
	if (l->protocol != IPPROTO_UDP || !have(c, UDP_HEADER))
		return false;
	c->at += UDP_HEADER;
	if (out->n_layers == 1 && is_wireguard_port(ports, l)) {
		read_message(c, out);
		return false;
	}
	if (!ports->vxlan || l->destination_port != ports->vxlan || !have(c, VXLAN_HEADER))
		return false;
	c->at += VXLAN_HEADER;
	*wrap = DISSECT_IN_VXLAN;
	return read_ethernet(c, &protocol);
}

void dissect_frame(const uint8_t *frame, size_t len, const struct dissect_ports *ports,
		   struct dissected_frame *out)
{
	struct cursor c = {frame, len, 0};
	enum dissected_wrap wrap = DISSECT_BARE;
	uint16_t protocol;

	memset(out, 0, sizeof(*out));
	if (!read_ethernet(&c, &protocol))
		return;
	do {
		struct dissected_layer *l = &out->layers[out->n_layers];

		if (!read_ip(&c, l)) {
			memset(l, 0, sizeof(*l));
			return;
		}
		l->wrap = wrap;
		out->n_layers++;
	} while (enter(&c, ports, out, &wrap) && out->n_layers < DISSECT_LAYERS);
}
