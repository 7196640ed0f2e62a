/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a frame on the wire is: a WireGuard message, or IP packets, one in the other (bare, in
 * VXLAN, in IP). Takes any bytes, cut off anywhere. Pure.
 */
#ifndef PACKET_DISSECT_H
#define PACKET_DISSECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"

#define DISSECT_LAYERS 3

enum dissected_wrap { DISSECT_BARE, DISSECT_IN_VXLAN, DISSECT_IN_IP };

struct dissected_layer {
	struct cidr source, destination; /* /32 or /128 */
	enum dissected_wrap wrap;
	uint8_t protocol; /* IPPROTO_ */
	bool ports;	  /* these are known: TCP or UDP, and no later fragment */
	bool fragment;	  /* a later one */
	uint16_t source_port, destination_port; /* host byte order */
};

struct dissected_frame {
	bool wireguard;	       /* layers[0] is the outer packet of a message */
	uint8_t message;       /* its type, 1 to 4: initiation, response, cookie reply, data */
	size_t payload;	       /* offset of the UDP payload, of a message */
	unsigned int n_layers; /* outermost first; 0: no IP */
	struct dissected_layer layers[DISSECT_LAYERS];
};

struct dissect_ports {
	uint16_t wireguard[2]; /* host byte order; 0: none */
	uint16_t vxlan;
};

void dissect_frame(const uint8_t *frame, size_t len, const struct dissect_ports *ports,
		   struct dissected_frame *out);

#endif
