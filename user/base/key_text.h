/* SPDX-License-Identifier: Apache-2.0 */
/* A key as text, as wg(8) prints it: base64. Pure. */
#ifndef BASE_KEY_TEXT_H
#define BASE_KEY_TEXT_H

#include <sodium.h>
#include <stdint.h>

/* With the zero at its end. */
#define KEY_TEXT sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_ORIGINAL)

static inline const char *key_format(const uint8_t key[32], char out[KEY_TEXT])
{
	return sodium_bin2base64(out, KEY_TEXT, key, 32, sodium_base64_VARIANT_ORIGINAL);
}

#endif
