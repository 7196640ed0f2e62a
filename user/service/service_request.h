/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The requests that an agent makes of the tunnel process, on /run/podveil/tunnel.sock. They extend
 * the protocol of wg(8): lines of KEY=VALUE, an empty line at the end, errno=N at the end of each
 * answer. The first line says what is wanted, and of which device:
 *
 *   hello=PROTOCOL       who are you? Answers protocol=, version=, pid=, user=, capabilities= (if not all), instance= (if it has a name),
 *                        hands_over= (0: nobody can take over from it), and a line handed_over= for
 *                        each instance before it. -EPROTONOSUPPORT: this process speaks another
 *                        protocol (the answer says which)
 *   events=1             sends news on this connection from now on, each ended by an empty line:
 *                        event=sessions|renamed|ended, device=ID
 *   log=1                level=, format=
 *   quit=1               end the process. -EBUSY: it has devices
 *   key=ID               loads or makes the private key. Answers public_key=
 *   take_key=ID          from=NAME: takes over the key of the kernel's WireGuard device NAME
 *   forget_key=ID        removes the key's file. -EBUSY: the device uses it
 *   make=ID              name=, inner_name=, workers=, mtu=: makes the device with the key of ID, or
 *                        adopts that of a dead process, or keeps the one it has. Answers name=,
 *                        ifindex=, public_key=, made= (0: it was there)
 *   drop=ID              removes it
 *   set=ID               workers=, wire=, uplink=, low_latency=, own_key=; then the lines of wg's
 *                        set=1, but no private_key. Answers version=
 *   get=ID               as get=1, but no secrets and no allowed IPs, and with what wg cannot show
 *   counters=ID          slot=N, then each counter of this slot that is not 0
 *   handshake=ID         anyway=, then a line public_key= for each peer
 *   repair=ID            puts back what others changed. Answers repaired=
 *
 * ID is a word of the owner; it stays when the device is renamed. The private key never passes this
 * socket, in neither direction. Unknown lines are refused with -EINVAL and nothing is done.
 *
 * This is the parser. Pure.
 */
#ifndef SERVICE_SERVICE_REQUEST_H
#define SERVICE_SERVICE_REQUEST_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "device/device.h"

#define SERVICE_SOCKET "/run/podveil/tunnel.sock"
/* Longer than the name of any device, whose lock files are in the same directory. */
#define SERVICE_LOCK	 "/run/podveil/podveil-tunnel-process.lock"
#define SERVICE_PROTOCOL 1
#define SERVICE_ID_MAX	 31

enum service_verb {
	SERVICE_HELLO,
	SERVICE_EVENTS,
	SERVICE_LOG,
	SERVICE_QUIT,
	SERVICE_KEY,
	SERVICE_TAKE_KEY,
	SERVICE_FORGET_KEY,
	SERVICE_MAKE,
	SERVICE_DROP,
	SERVICE_SET,
	SERVICE_GET,
	SERVICE_COUNTERS,
	SERVICE_HANDSHAKE,
	SERVICE_REPAIR,
	SERVICE_VERBS
};

/* The lines that a request has. */
enum service_line {
	LINE_NAME = 1 << 0,
	LINE_INNER_NAME = 1 << 1,
	LINE_WORKERS = 1 << 2,
	LINE_MTU = 1 << 3,
	LINE_WIRE = 1 << 4,
	LINE_UPLINK = 1 << 5,
	LINE_LOW_LATENCY = 1 << 6,
	LINE_OWN_KEY = 1 << 7,
	LINE_FROM = 1 << 8,
	LINE_ANYWAY = 1 << 9,
	LINE_LEVEL = 1 << 10,
	LINE_FORMAT = 1 << 11,
};

struct service_request {
	enum service_verb verb;
	unsigned int has; /* enum service_line */
	uint32_t protocol;
	char id[SERVICE_ID_MAX + 1];
	char name[IF_NAMESIZE], inner_name[IF_NAMESIZE], from[IF_NAMESIZE];
	unsigned int workers;
	uint32_t mtu;
	enum wire_mode wire;
	int uplink; /* ifindex */
	bool low_latency, own_key, anyway;
	enum log_level level;
	enum log_format format;
	struct device_config config; /* of `set`; of `handshake` its peers, with a key alone */
};

/* `text` is a whole request. 0 or -errno, with *problem set to a static string that says what is
 * wrong, and *line to the line's number from 1 (that of the first of wg's lines if those are good
 * lines, but not here). Call service_request_fini() after 0. */
int service_request_parse(const char *text, size_t len, struct service_request *out,
			  const char **problem, size_t *line);
void service_request_fini(struct service_request *r);

/* The first word of a request with this verb. */
const char *service_verb_name(enum service_verb verb);

#endif
