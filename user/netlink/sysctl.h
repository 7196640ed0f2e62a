/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel settings under /proc/sys. */
#ifndef NETLINK_SYSCTL_H
#define NETLINK_SYSCTL_H

/* A path below /proc/sys, "net/ipv4/conf/all/rp_filter". 0 or -errno. */
int sysctl_get(const char *path, int *value);
/* Writes only where it differs: 1: written, 0: was so, or -errno. */
int sysctl_set(const char *path, int value);

#endif
