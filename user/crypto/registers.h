/* SPDX-License-Identifier: Apache-2.0 */
/* The vector registers, which ciphers leave full of key stream. Internal to the folder; any thread. */
#ifndef CRYPTO_REGISTERS_H
#define CRYPTO_REGISTERS_H

/* Zeroes those that a caller does not expect to find unchanged: all of them, on x86-64. */
void registers_wipe(void);

#endif
