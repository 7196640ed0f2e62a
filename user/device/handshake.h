/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake thread of a device: reads the data path's events, answers and starts handshakes,
 * installs and rotates sessions, runs the timers of all peers. X25519 happens here and nowhere near
 * a worker.
 */
#ifndef DEVICE_HANDSHAKE_H
#define DEVICE_HANDSHAKE_H

struct device;
struct handshaker;

int handshaker_new(struct device *d, struct handshaker **out);
void handshaker_free(struct handshaker *h);

#endif
