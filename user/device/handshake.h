/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake thread of a device: reads the data path's events, answers and starts handshakes,
 * installs and rotates sessions, runs the timers of all peers. Workers never compute X25519.
 * Internal to the folder.
 */
#ifndef DEVICE_HANDSHAKE_H
#define DEVICE_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "device/handshake_counters.h"

struct device;
struct handshaker;
struct peer;

/* `held`: the thread does nothing until handshaker_release(). */
int handshaker_new(struct device *d, bool held, struct handshaker **out);
/* Waits until the thread has handled what waits for it, and touches nothing any more. Call it
 * without the lock, with the workers held. */
void handshaker_hold(struct handshaker *h);
void handshaker_release(struct handshaker *h);
/* Stops the thread; frees the peers whose removal was pending. */
void handshaker_free(struct handshaker *h);
/* Wakes the thread: the device's lists `attention` or `removals` are not empty, or the uplink has
 * to be updated. Any thread. */
void handshaker_wake(struct handshaker *h);

/* --- protocol.c: what messages and timers do to a peer. Under the device's lock. --- */

/* The outer TOS byte of handshake messages: DSCP AF41, as the kernel's WireGuard sends them. */
#define HANDSHAKE_TOS 0x88

struct handshake_message;
struct gate;

/* Sends an initiation, unless one was sent less than REKEY_TIMEOUT ago. `cause` is one of
 * HANDSHAKE_STARTED_*. Every cause but HANDSHAKE_STARTED_RETRY begins a new attempt. */
void protocol_initiate(struct peer *p, uint64_t now, enum handshake_count cause);
/* Handles one handshake message from the wire. Call it without the lock. */
void protocol_receive(struct device *d, const struct handshake_message *e, bool under_load,
		      struct gate *gate);
/* Does what is due. Returns when to call it again (monotonic ns). */
uint64_t protocol_timers(struct peer *p, uint64_t now);

#endif
