/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What initiations and responses pass before anybody computes with them (whitepaper 5.3): mac1, and
 * under load the sender's cookie and share. Answers with cookies leave in runs: a flood's sender gets up
 * to 64 of them in one system call, which makes them cheaper than the messages that they answer.
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
/* May the message be computed with? Where not, its sender gets what it should get. Without the lock. */
bool gate_pass(struct gate *g, const struct handshake_message *e, bool under_load);
/* It could be, and it led to nothing. */
void gate_wasted(struct gate *g);
/* Sends the answers that are held. After each batch of messages; without the lock. */
void gate_flush(struct gate *g);

#endif
