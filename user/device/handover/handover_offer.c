/* SPDX-License-Identifier: Apache-2.0 */
#include "device/handover/handover_offer.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/version.h"
#include "device/peer.h"
#include "handover/channel.h"
#include "handover/codec.h"

static void read_namespace(uint64_t *device, uint64_t *inode)
{
	struct stat s;

	if (stat("/proc/self/ns/net", &s))
		return;
	*device = s.st_dev;
	*inode = s.st_ino;
}

void handover_offer_make(struct handover_offer *o, const struct handed_device *devices, size_t n)
{
	*o = (struct handover_offer){.version = CHANNEL_VERSION, .n_devices = (uint32_t)n};
	snprintf(o->build, sizeof(o->build), "%s", PODVEIL_VERSION);
	read_namespace(&o->namespace_device, &o->namespace_inode);
	for (size_t i = 0; i < n; i++) {
		memcpy(o->devices[i].served_name, devices[i].device->served_name, IF_NAMESIZE);
		o->devices[i].superpackets = devices[i].device->superpackets;
	}
}

static void fields(struct codec *c, struct handover_offer *o)
{
	codec_u16(c, &o->version);
	codec_text(c, o->build, sizeof(o->build));
	codec_u64(c, &o->namespace_device);
	codec_u64(c, &o->namespace_inode);
	codec_u32(c, &o->n_devices);
	if (o->n_devices > RECORD_MAX_DEVICES)
		c->failed = true;
	for (uint32_t i = 0; i < o->n_devices && !c->failed; i++) {
		codec_text(c, o->devices[i].served_name, sizeof(o->devices[i].served_name));
		codec_bool(c, &o->devices[i].superpackets);
	}
}

size_t handover_offer_write(const struct handover_offer *o, uint8_t *out, size_t room)
{
	struct codec c = {.mode = CODEC_WRITE, .at = out, .end = out + room};

	fields(&c, (struct handover_offer *)(uintptr_t)o);
	return c.failed ? 0 : (size_t)(c.at - out);
}

const char *handover_offer_read(const uint8_t *bytes, size_t length, struct handover_offer *out)
{
	struct codec c = {.mode = CODEC_READ,
			  .at = (uint8_t *)(uintptr_t)bytes,
			  .end = (uint8_t *)(uintptr_t)bytes + length};
	uint64_t device = 0, inode = 0;

	*out = (struct handover_offer){.version = 0};
	fields(&c, out);
	if (out->version != CHANNEL_VERSION)
		return "the other process speaks another version of the handover";
	if (c.failed)
		return "the other process offers nothing that can be read";
	read_namespace(&device, &inode);
	if (device != out->namespace_device || inode != out->namespace_inode)
		return "the other process is in another network namespace";
	return NULL;
}
