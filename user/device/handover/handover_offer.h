/* SPDX-License-Identifier: Apache-2.0 */
/* What the old process says first: enough for the new one to prepare. Internal to the folder. */
#ifndef DEVICE_HANDOVER_OFFER_H
#define DEVICE_HANDOVER_OFFER_H

#include <net/if.h>

#include "device/handover/predecessor.h"

struct handover_offer {
	uint16_t version; /* CHANNEL_VERSION */
	char build[RECORD_BUILD];
	uint64_t namespace_device, namespace_inode; /* of the network namespace */
	uint32_t n_devices;
	struct offered_device {
		char served_name[IF_NAMESIZE];
		bool superpackets;
	} devices[RECORD_MAX_DEVICES];
};

void handover_offer_make(struct handover_offer *o, const struct handed_device *devices, size_t n);
/* The length; 0: no room. */
size_t handover_offer_write(const struct handover_offer *o, uint8_t *out, size_t room);
/* NULL, or a static text that says why it cannot be taken. */
const char *handover_offer_read(const uint8_t *bytes, size_t length, struct handover_offer *out);

#endif
