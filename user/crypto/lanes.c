/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/lanes.h"

/* Groups of equal size (in whole units) cost at most as much as full groups and a rest. */
static unsigned int share(const struct lanes_kernel *k, size_t n)
{
	const size_t groups = (n + k->group - 1) / k->group;
	const size_t units = ((n + k->unit - 1) / k->unit + groups - 1) / groups;

	return (unsigned int)units * k->unit;
}

/* The size of the next group, at most `most`: its messages have the same nonce prefix, as all transport
 * messages do. */
static unsigned int next(const struct aead_op *ops, size_t left, unsigned int most)
{
	const unsigned int n = left < most ? (unsigned int)left : most;

	for (unsigned int i = 1; i < n; i++) {
		if (ops[i].prefix != ops->prefix)
			return i;
	}
	return n;
}

/* Are the lengths so similar that few lanes would wait, with one message per lane? */
static bool even(const struct lanes_kernel *k, const struct aead_op *ops, unsigned int n)
{
	uint32_t most = 0, sum = 0;

	if (!k->both)
		return false;
	for (unsigned int i = 0; i < n; i++) {
		const uint32_t blocks = ops[i].len / LANES_BLOCK + 2; /* with the one for the key */

		sum += blocks;
		most = blocks > most ? blocks : most;
	}
	return 3 * k->group * most < 4 * sum;
}

static __attribute__((noinline)) void seal_group(const struct lanes_kernel *k, struct aead_op *ops,
						 unsigned int n)
{
	struct lanes_words t;

	for (unsigned int i = 0; i < n; i++)
		ops[i].ok = true;
	if (even(k, ops, n)) {
		k->both(ops, n, false, &t);
	} else {
		k->cipher(ops, n);
		k->tags(ops, n, true, &t);
	}
	for (unsigned int i = 0; i < n; i++) {
		memcpy(ops[i].dst + ops[i].len, &t.low[i], 8);
		memcpy(ops[i].dst + ops[i].len + 8, &t.high[i], 8);
	}
}

static __attribute__((noinline)) unsigned int open_group(const struct lanes_kernel *k,
							 struct aead_op *ops, unsigned int n)
{
	const bool at_once = even(k, ops, n);
	unsigned int good = 0;
	struct lanes_words t;

	if (at_once)
		k->both(ops, n, true, &t);
	else
		k->tags(ops, n, false, &t);
	for (unsigned int i = 0; i < n; i++) {
		uint64_t low, high;

		/* Constant time: all differing bits are collected in one word, and only the result
		 * is branched on. */
		memcpy(&low, ops[i].src + ops[i].len, 8);
		memcpy(&high, ops[i].src + ops[i].len + 8, 8);
		ops[i].ok = !((low ^ t.low[i]) | (high ^ t.high[i]));
		good += ops[i].ok;
		/* No plaintext of a message that is not authentic. */
		if (at_once && !ops[i].ok)
			memset(ops[i].dst, 0, ops[i].len);
	}
	if (!at_once)
		k->cipher(ops, n);
	return good;
}

void lanes_seal(void *kernel, struct aead_op *ops, size_t n)
{
	const struct lanes_kernel *k = kernel;
	const unsigned int most = n ? share(k, n) : 0;
	unsigned int group;

	for (size_t done = 0; done < n; done += group) {
		group = next(ops + done, n - done, most);
		seal_group(k, ops + done, group);
	}
}

size_t lanes_open(void *kernel, struct aead_op *ops, size_t n)
{
	const struct lanes_kernel *k = kernel;
	const unsigned int most = n ? share(k, n) : 0;
	unsigned int group;
	size_t good = 0;

	for (size_t done = 0; done < n; done += group) {
		group = next(ops + done, n - done, most);
		good += open_group(k, ops + done, group);
	}
	return good;
}

void lanes_close(void *kernel)
{
	(void)kernel;
}
