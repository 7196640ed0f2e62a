/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers `get` and `counters` of a tunnel process (service_request.h), read back into the views
 * of device.h. Lines that this version does not know are skipped: the process may be newer. Pure.
 */
#ifndef SERVICE_REPORT_H
#define SERVICE_REPORT_H

#include <net/if.h>
#include <stddef.h>

#include "device/device.h"
#include "podveil/counters.h"
#include "service/service_request.h"

#define REPORT_WORD 32

struct report {
	char name[IF_NAMESIZE];
	int ifindex;
	uint64_t version;
	struct device_view device; /* no private key; its strings are the next two */
	char aead[REPORT_WORD], wire[REPORT_WORD];
	struct peer_view *peers; /* no preshared keys, no allowed IPs */
	size_t n_peers;
};

/* 0, or -EPROTO: this is no such answer; -ENOMEM. `text` ends with a zero. After 0, call
 * report_fini(). */
int report_parse(const char *text, struct report *out);
void report_fini(struct report *r);

/* 0 or -EPROTO. */
int report_parse_counters(const char *text, struct pv_counters slots[PV_COUNTER_SLOTS]);

/* The value of the first line KEY=VALUE of an answer, up to its newline. False: no such line, or it
 * does not fit. */
bool report_value(const char *text, const char *key, char *out, size_t room);
/* The answer has this line KEY=VALUE. */
bool report_has(const char *text, const char *key, const char *value);

#endif
