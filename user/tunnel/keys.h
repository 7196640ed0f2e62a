/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The private key of a tunnel, in /run/podveil/wireguard.key or wireguard-v6.key, whatever the
 * tunnel device is called (0600, base64 as `wg genkey` prints it): made at first start, kept across
 * restarts, gone with a reboot. Never printed, never logged.
 */
#ifndef TUNNEL_KEYS_H
#define TUNNEL_KEYS_H

#include <stdint.h>

/* Loads the key of a tunnel, or makes one where there is none, or others could read it. One that is
 * there but cannot be read (no descriptors, no key in it) is left alone: -errno, and a line logged.
 * The caller wipes it. */
int keys_load(const char *name, uint8_t private_key[32]);
/* Puts the file back where somebody removed or changed it. 0: it was there, 1: put back, or -errno.
 */
int keys_restore(const char *name, const uint8_t private_key[32]);
void keys_remove(const char *name);

#endif
