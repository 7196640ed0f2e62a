/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sliding replay window (whitepaper 5.4.6, RFC 6479) in a bitmap of REPLAY_WINDOW bits. A counter
 * may be REPLAY_WINDOW - 64 behind the next one: one word of 64 bits is slack. One thread at a
 * time; the caller serialises (keypair.h says how). Pure, inline because it runs for each message.
 */
#ifndef PROTOCOL_REPLAY_H
#define PROTOCOL_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/limits.h"

#define REPLAY_WORD_BITS 64
#define REPLAY_WORDS	 (REPLAY_WINDOW / REPLAY_WORD_BITS)

struct replay {
	uint64_t next; /* greatest counter accepted, plus one; 0: none yet */
	uint64_t bitmap[REPLAY_WORDS];
};

/* Accepts a counter once: true and remembered, or false (seen, too old, or past
 * REJECT_AFTER_MESSAGES). Call only after the message was authenticated. */
static inline bool replay_accept(struct replay *r, uint64_t counter);

/* --- implementation --- */
/* RFC 6479 keeps one word of slack, so that clearing a word never clears one inside the window. */
static inline bool replay_accept(struct replay *r, uint64_t counter)
{
	uint64_t word = counter / REPLAY_WORD_BITS;

	if (counter >= REJECT_AFTER_MESSAGES)
		return false;
	if (r->next > counter && r->next - counter > REPLAY_WINDOW - REPLAY_WORD_BITS)
		return false;
	if (counter >= r->next) {
		uint64_t top = r->next ? (r->next - 1) / REPLAY_WORD_BITS : 0;
		uint64_t ahead = word - top;

		if (ahead > REPLAY_WORDS)
			ahead = REPLAY_WORDS;
		for (uint64_t i = 1; i <= ahead; i++)
			r->bitmap[(top + i) % REPLAY_WORDS] = 0;
		r->next = counter + 1;
	}
	uint64_t bit = 1ull << (counter % REPLAY_WORD_BITS);

	if (r->bitmap[word % REPLAY_WORDS] & bit)
		return false;
	r->bitmap[word % REPLAY_WORDS] |= bit;
	return true;
}

#endif
