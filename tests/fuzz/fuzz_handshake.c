/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handshake messages as they come from the wire. The first byte chooses: the rest is the message,
 * or a list of changes to a valid message, so that the code after mac1 and after the first
 * decryption is reached too.
 */
#include <netinet/in.h>
#include <sodium.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/cookie.h"
#include "protocol/noise.h"
#include "protocol/ratelimiter.h"

#define NOW 1000000000000ull

static struct noise_identity ours, theirs;
static struct cookie_checker checker;
static struct cookie_jar jar;
static struct ratelimiter *limiter;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const uint8_t a[KEY_SIZE] = {1}, b[KEY_SIZE] = {2};

	(void)argc;
	(void)argv;
	if (sodium_init() < 0)
		abort();
	noise_identity_set(&ours, a);
	noise_identity_set(&theirs, b);
	cookie_checker_init(&checker, ours.public_key);
	limiter = ratelimiter_new(64);
	return 0;
}

/* Applies changes; each is two bytes: position, value to exclusive-or. */
static void change(uint8_t *message, size_t len, const uint8_t *data, size_t size)
{
	for (; size >= 2; data += 2, size -= 2)
		message[data[0] % len] ^= data[1];
}

static void receive(const uint8_t *message, size_t len)
{
	const uint8_t psk[KEY_SIZE] = {0};
	uint8_t source[6] = {192, 0, 2, 1, 0, 1};
	struct noise_handshake h;
	struct noise_claim claim;
	struct noise_keys keys;
	struct message_response response;
	struct message_cookie_reply reply;

	noise_handshake_init(&h, &ours, theirs.public_key, psk);
	switch (message_classify(message, len)) {
	case MESSAGE_INITIATION:
		cookie_check(&checker, message, len, source, sizeof(source), NOW);
		cookie_reply_create(&checker, message, len, 1, source, sizeof(source), NOW, &reply);
		if (noise_initiation_open((const void *)message, &ours, &claim))
			break;
		if (memcmp(claim.remote_static, theirs.public_key, KEY_SIZE))
			abort(); /* a changed message never decrypts to another key */
		if (!noise_initiation_accept(&h, (const void *)message, &claim, NOW) &&
		    (noise_response_create(&h, 1, &response) || noise_keys_derive(&h, &keys)))
			abort();
		break;
	case MESSAGE_RESPONSE:
		cookie_check(&checker, message, len, source, sizeof(source), NOW);
		if (!noise_response_accept(&h, &ours, (const void *)message))
			abort(); /* we have sent no initiation */
		break;
	case MESSAGE_COOKIE_REPLY:
		if (!cookie_reply_consume(&jar, (const void *)message, NOW))
			abort(); /* nor any message that it could answer */
		break;
	case MESSAGE_DATA:
	case MESSAGE_INVALID:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t psk[KEY_SIZE] = {0}, timestamp[TIMESTAMP_SIZE] = {0x40};
	struct sockaddr_in source = {.sin_family = AF_INET};
	struct message_initiation m;
	struct noise_handshake h;
	struct cookie_jar sender;

	if (!size)
		return 0;
	memcpy(&source.sin_addr, data, size < 4 ? size : 4);
	ratelimiter_allow(limiter, (struct sockaddr *)&source, NOW + size * 1000000);
	if (data[0] & 1) {
		receive(data + 1, size - 1);
		return 0;
	}
	noise_handshake_init(&h, &theirs, ours.public_key, psk);
	if (noise_initiation_create(&h, &theirs, 7, timestamp, &m))
		abort();
	if (data[0] & 2)
		change((uint8_t *)&m, sizeof(m), data + 1, size - 1);
	/* With the correct mac1 over the changed message: the sender knows our public key. */
	cookie_jar_init(&sender, ours.public_key);
	cookie_jar_seal(&sender, &m, sizeof(m), NOW);
	receive((const uint8_t *)&m, sizeof(m));
	return 0;
}
