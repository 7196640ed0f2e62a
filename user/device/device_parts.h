/* SPDX-License-Identifier: Apache-2.0 */
/* What makes a device anew and what takes one over have in common. Internal to the folder. */
#ifndef DEVICE_DEVICE_PARTS_H
#define DEVICE_DEVICE_PARTS_H

#include <stdbool.h>

#include "datapath/datapath.h"

struct device;
struct device_params;

/* NULL: no memory. */
struct device *device_allocate(const struct device_params *params);
/* What both want of the data path; each adds its own. */
struct datapath_params device_datapath_params(const struct device *d);
/* These return 0 or -errno. */
int device_make_tables(struct device *d);
/* News of sessions, and the handshake thread; `held`: it waits for handshaker_release(). */
int device_start_threads(struct device *d, bool held);

#endif
