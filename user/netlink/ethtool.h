/* SPDX-License-Identifier: Apache-2.0 */
/* Device features by the names that `ethtool -k` prints. */
#ifndef NETLINK_ETHTOOL_H
#define NETLINK_ETHTOOL_H

#include <stdbool.h>
#include <stddef.h>

/* Of all features that can be changed, switches those on that `wanted` names, and off those for
 * which `concerns` says so. 0 or -errno; names that the kernel does not know are passed over. */
int ethtool_features(const char *device, const char *const *wanted, size_t n,
		     bool (*concerns)(const char *name));

#endif
