/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device on its way from one process to another. handover/record.h says what goes along;
 * predecessor.h and successor.h are the two sides. All functions: control thread.
 *
 * No nonce is used twice, for two reasons that do not depend on each other:
 * - Order. The old process holds its threads before it writes the counters down. The new one sends
 *   nothing before it has said that it runs; the old one goes on only if the new one has ended
 *   without saying so.
 * - Numbers. An old process that goes on never uses the KEYPAIR_LEFT_TO_ANOTHER counters that follow
 *   those in the record, and forgets the handshakes that were under way.
 */
#ifndef DEVICE_TRANSFER_H
#define DEVICE_TRANSFER_H

#include "device/device.h"
#include "handover/record.h"

/* --- the old process --- */

/* Stops everything that the device does. Packets wait in its sockets and rings. */
void device_hold(struct device *d);
/* The other process did not take over: goes on. `sessions_lost`: it may have used the sessions, so
 * they are forgotten, too, and made anew. */
void device_go_on(struct device *d, bool sessions_lost);
/* Fills in the record of a device that is held, and its descriptors, which stay the device's: the
 * lock, `wg_fd` (-1: none), and those of the workers. 0 or -ENOMEM; then too handover_record_fini(). */
int device_write_record(struct device *d, int wg_fd, struct record_device *out, int *fds,
			size_t *n_fds);
/* It belongs to the other process now: wipes its secrets. The caller ends the process without
 * freeing anything, because memory, maps, files and sockets are in use by the other one. */
void device_wipe(struct device *d);

/* --- the new process --- */

/* Prepares what takes long, while the old process goes on: programs, cipher. Changes nothing that
 * others see. 0 or -errno (logged). */
int device_prepare(const struct device_params *params, const char *served_name, bool superpackets,
		   struct device **out);
/* Makes the device as in the record, held. `fds`: those of device_write_record() without wg's; they
 * are the device's from then on. 0 or -errno, with *problem set to a static text. After an error,
 * and until device_begin(), the process may only end: freeing the device would take things away
 * from the old process. */
int device_read_record(struct device *d, const struct record_device *r, const int *fds,
		       const char **problem);
/* The old process has stopped for good: begins. */
void device_begin(struct device *d);
/* Afterwards, for what nobody has to wait for: attaches and pins what the old process had otherwise, and follows the tunnel device. */
void device_settle(struct device *d);

#endif
