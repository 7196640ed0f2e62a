/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The private key of a tunnel, in /run/podveil/wireguard.key or wireguard-v6.key, whatever the name
 * of the tunnel device is. Mode 0600, base64 as `wg genkey` prints it. The key is made at the first
 * start, is kept across restarts of the agent, and is lost at a reboot. It is never printed or
 * logged.
 */
#ifndef SERVICE_KEYS_H
#define SERVICE_KEYS_H

#include <stdint.h>

/* Loads the key of a tunnel. Makes a new one if there is none, or if other users could read or
 * write the file. If the file cannot be read now or holds no key, it is left alone: -errno, logged.
 * The caller wipes the key. */
int keys_load(const char *name, uint8_t private_key[32]);
/* Writes the file again if somebody removed or changed it. 0: it was in order, 1: written, or
 * -errno. */
int keys_restore(const char *name, const uint8_t private_key[32]);
void keys_remove(const char *name);

#endif
