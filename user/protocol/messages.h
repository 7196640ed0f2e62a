/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four messages on the wire (whitepaper section 5.4), byte for byte. Integers are little endian
 * on the wire; the structs hold them so, convert with le32toh()/le64toh().
 */
#ifndef PROTOCOL_MESSAGES_H
#define PROTOCOL_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

#define KEY_SIZE       32 /* Curve25519 keys, AEAD keys, BLAKE2s digests */
#define TAG_SIZE       16 /* Poly1305 */
#define TIMESTAMP_SIZE 12 /* TAI64N */
#define COOKIE_SIZE    16
#define XNONCE_SIZE    24 /* XChaCha20-Poly1305 */

enum message_type {
	MESSAGE_INVALID = 0,
	MESSAGE_INITIATION = 1,
	MESSAGE_RESPONSE = 2,
	MESSAGE_COOKIE_REPLY = 3,
	MESSAGE_DATA = 4,
};

struct message_macs {
	uint8_t mac1[COOKIE_SIZE];
	uint8_t mac2[COOKIE_SIZE];
} __attribute__((packed));

struct message_initiation {
	uint32_t type; /* 1, then three reserved zero bytes */
	uint32_t sender;
	uint8_t ephemeral[KEY_SIZE];
	uint8_t encrypted_static[KEY_SIZE + TAG_SIZE];
	uint8_t encrypted_timestamp[TIMESTAMP_SIZE + TAG_SIZE];
	struct message_macs macs;
} __attribute__((packed));

struct message_response {
	uint32_t type;
	uint32_t sender;
	uint32_t receiver;
	uint8_t ephemeral[KEY_SIZE];
	uint8_t encrypted_nothing[TAG_SIZE];
	struct message_macs macs;
} __attribute__((packed));

struct message_cookie_reply {
	uint32_t type;
	uint32_t receiver;
	uint8_t nonce[XNONCE_SIZE];
	uint8_t encrypted_cookie[COOKIE_SIZE + TAG_SIZE];
} __attribute__((packed));

struct message_data {
	uint32_t type;
	uint32_t receiver;
	uint64_t counter;
	uint8_t encrypted[]; /* padded inner packet, then the tag */
} __attribute__((packed));

#define MESSAGE_DATA_OVERHEAD (sizeof(struct message_data) + TAG_SIZE)
/* What a data message adds to a packet on the wire: IP, UDP, and the above. */
#define MESSAGE_OVERHEAD_IPV4 ((uint32_t)(20 + 8 + MESSAGE_DATA_OVERHEAD))
#define MESSAGE_OVERHEAD_IPV6 ((uint32_t)(40 + 8 + MESSAGE_DATA_OVERHEAD))

_Static_assert(sizeof(struct message_initiation) == 148, "whitepaper 5.4.2");
_Static_assert(sizeof(struct message_response) == 92, "whitepaper 5.4.3");
_Static_assert(sizeof(struct message_cookie_reply) == 64, "whitepaper 5.4.7");
_Static_assert(sizeof(struct message_data) == 16, "whitepaper 5.4.6");

/* What a datagram of `len` bytes is: type and length agree, or MESSAGE_INVALID. Any thread. */
enum message_type message_classify(const void *datagram, size_t len);

#endif
