/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake thread of a device: reads the data path's events, answers and starts handshakes,
 * installs and rotates sessions, runs the timers of all peers. X25519 happens here and nowhere near
 * a worker. Internal to the folder.
 */
#ifndef DEVICE_HANDSHAKE_H
#define DEVICE_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "device/handshake_counters.h"

struct device;
struct handshaker;
struct peer;

int handshaker_new(struct device *d, struct handshaker **out);
/* Stops the thread; frees the peers whose removal was pending. */
void handshaker_free(struct handshaker *h);
/* There is something in the device's lists `attention` or `removals`. Any thread. */
void handshaker_wake(struct handshaker *h);

/* --- protocol.c: what messages and timers do to a peer. Under the device's lock. --- */

/* Handshake messages leave with the precedence of network control, as the kernel's do (AF41). */
#define HANDSHAKE_TOS 0x88

struct handshake_message;
struct gate;

/* Sends an initiation, unless one went out less than REKEY_TIMEOUT ago. `cause` is one of
 * HANDSHAKE_STARTED_; a retry belongs to the attempt before. */
void protocol_initiate(struct peer *p, uint64_t now, enum handshake_count cause);
/* One handshake message from the wire. Takes the lock itself, where it needs it. */
void protocol_receive(struct device *d, const struct handshake_message *e, bool under_load,
		      struct gate *gate);
/* Does what is due, and returns when to come again. */
uint64_t protocol_timers(struct peer *p, uint64_t now);

#endif
