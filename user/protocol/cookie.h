/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Denial-of-service protection (whitepaper 5.3, 5.4.4, 5.4.7): mac1, mac2 and cookie replies. Pure,
 * but for random numbers.
 * "Source" is the sender's address and port as bytes: 4 + 2 for IPv4, 16 + 2 for IPv6.
 */
#ifndef PROTOCOL_COOKIE_H
#define PROTOCOL_COOKIE_H

#include <stdbool.h>

#include "protocol/messages.h"

#define COOKIE_NONCES 32

/* Receiving side: checks MACs under our public key and makes cookies. */
struct cookie_checker {
	uint8_t mac1_key[KEY_SIZE];
	uint8_t cookie_key[KEY_SIZE];
	uint8_t secret[KEY_SIZE]; /* changed every 120 s */
	uint64_t secret_birth;	  /* monotonic ns; 0: none yet */
	/* Random, each for one reply: those below nonces_left were not used yet. */
	uint8_t nonces[COOKIE_NONCES][XNONCE_SIZE];
	unsigned int nonces_left;
};

/* Sending side, one a peer: what the peer wants to see. */
struct cookie_jar {
	uint8_t mac1_key[KEY_SIZE];
	uint8_t cookie_key[KEY_SIZE];
	uint8_t cookie[COOKIE_SIZE];
	uint64_t cookie_birth; /* 0: none */
	uint8_t last_mac1[COOKIE_SIZE];
	bool last_mac1_sent;
};

enum cookie_verdict {
	COOKIE_BAD_MAC1,   /* drop without an answer */
	COOKIE_MAC1_ONLY,  /* good; under load answer with a cookie instead */
	COOKIE_MAC2_VALID, /* good, and the source is proven: rate-limit by source */
};

void cookie_checker_init(struct cookie_checker *c, const uint8_t our_public_key[KEY_SIZE]);
/* `message` is a whole initiation or response; its last 32 bytes are the MACs. */
enum cookie_verdict cookie_check(struct cookie_checker *c, const void *message, size_t len,
				 const void *source, size_t source_len, uint64_t now);
void cookie_reply_create(struct cookie_checker *c, const void *message, size_t len,
			 uint32_t sender_index, const void *source, size_t source_len, uint64_t now,
			 struct message_cookie_reply *out);

void cookie_jar_init(struct cookie_jar *jar, const uint8_t peer_public_key[KEY_SIZE]);
/* Writes mac1, and mac2 where a fresh cookie is at hand, over the last 32 bytes of `message`. */
void cookie_jar_seal(struct cookie_jar *jar, void *message, size_t len, uint64_t now);
/* -EBADMSG where it is not an answer to the last message sealed. */
int cookie_reply_consume(struct cookie_jar *jar, const struct message_cookie_reply *in,
			 uint64_t now);

#endif
