/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks initiations and responses before any costly computation (whitepaper 5.3): mac1, and under
 * load the sender's cookie and rate limit. Cookie replies are sent in runs: consecutive replies to
 * the same sender, at most WIRE_MAX_SEGMENTS, go in one system call.
 *
 * Handshake thread only. Internal to the folder.
 */
#ifndef DEVICE_GATE_H
#define DEVICE_GATE_H

#include <stdbool.h>
#include <stdint.h>

struct device;
struct gate;
struct handshake_message;

/* NULL: no memory. */
struct gate *gate_new(struct device *d);
void gate_free(struct gate *g);

/* Is the device under load? */
bool gate_under_load(struct gate *g);
/* May the handshake thread process the message? If not, it was counted, and a cookie reply is held
 * for its sender where one is due. Call it without the lock. */
bool gate_pass(struct gate *g, const struct handshake_message *e, bool under_load);
/* A message passed, but led to no session. This counts for the under-load decision. */
void gate_wasted(struct gate *g);
/* Sends the cookie replies that are held. Call it after each batch of messages, without the
 * lock. */
void gate_flush(struct gate *g);

#endif
