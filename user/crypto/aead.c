/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/aead.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "crypto/aead_backend.h"
#include "crypto/registers.h"

static const struct aead_backend *const backends[] = {
#ifdef __x86_64__
	&aead_avx512,	&aead_avx2,
#endif
#ifdef HAVE_IPSEC_MB
	&aead_ipsec_mb,
#endif
	&aead_openssl,	&aead_sodium,
};
#define N_BACKENDS (sizeof(backends) / sizeof(backends[0]))

/* The fastest backend depends on the batch. With up to FEW messages, the vector kernels have empty
 * lanes: avx512 needs 470 ns for one message of 64 bytes, 36 for each of 44 (ipsec-mb: 152 for each
 * of any number). And with AVX2 alone such a kernel wins for small messages only (64 bytes: 121 ns,
 * OpenSSL 410; 1420 bytes: 1090, OpenSSL 760). */
enum work { WORK_LARGE, WORK_SMALL, WORK_FEW, N_WORK };

#define FEW   4
#define SMALL 512 /* bytes a message, on average */

struct aead {
	const struct aead_backend *backend[N_WORK];
	void *context[N_WORK]; /* the same where the backend is */
};

static struct aead_speed speeds[N_BACKENDS];
static size_t n_speeds;
static const struct aead_backend *fastest_at[N_WORK];
static pthread_once_t measured = PTHREAD_ONCE_INIT;

/* Called by the function that called the backend, so that the stack below is what the backend had. */
static void forget(const struct aead_backend *backend)
{
	if (!backend->stack)
		return;
	sodium_stackzero(backend->stack);
	registers_wipe();
}

static void seal(const struct aead_backend *backend, void *context, struct aead_op *ops, size_t n)
{
	backend->seal(context, ops, n);
	forget(backend);
}

#define ROUND  16u   /* messages in a round, */
#define ROUNDS 12u   /* rounds; the fastest counts, because other processes share the processor */
#define STRIDE 1456u /* from message to message, as in the path at MTU 1500 */

/* ns for one message of `len` bytes where `batch` of them are handed over at once. */
static double fastest(const struct aead_backend *backend, void *context, uint32_t len,
		      unsigned int batch)
{
	static const uint8_t key[AEAD_KEY_SIZE] = {1};
	uint8_t buffer[ROUND * STRIDE];
	struct aead_op ops[ROUND];
	uint64_t best = UINT64_MAX;

	memset(buffer, 0, sizeof(buffer));
	for (unsigned int i = 0; i < ROUNDS; i++) {
		for (unsigned int k = 0; k < ROUND; k++)
			ops[k] = (struct aead_op){
				.key = key,
				.counter = k,
				.src = buffer + k * STRIDE,
				.dst = buffer + k * STRIDE,
				.len = len,
			};
		uint64_t start = clock_now();

		for (unsigned int k = 0; k < ROUND; k += batch)
			seal(backend, context, ops + k, batch);

		uint64_t took = clock_now() - start;

		if (took < best)
			best = took;
	}
	return (double)best / ROUND;
}

static int by_speed(const void *a, const void *b)
{
	const struct aead_speed *x = a, *y = b;

	return (x->ns_1420 > y->ns_1420) - (x->ns_1420 < y->ns_1420);
}

/* Less than 4 ms in all on the machines seen. */
static void measure(void)
{
	double best[N_WORK] = {1e9, 1e9, 1e9};

	for (size_t i = 0; i < N_BACKENDS; i++) {
		void *context;

		if (!backends[i]->available() || backends[i]->open(&context))
			continue;

		const double ns[N_WORK] = {
			[WORK_LARGE] = fastest(backends[i], context, 1420, ROUND),
			[WORK_SMALL] = fastest(backends[i], context, 64, ROUND),
			[WORK_FEW] = fastest(backends[i], context, 1420, 1) +
				     fastest(backends[i], context, 64, 1),
		};

		backends[i]->close(context);
		for (int k = 0; k < N_WORK; k++) {
			if (ns[k] >= best[k])
				continue;
			best[k] = ns[k];
			fastest_at[k] = backends[i];
		}
		speeds[n_speeds++] = (struct aead_speed){
			.backend = backends[i]->name,
			.ns_1420 = ns[WORK_LARGE],
			.ns_64 = ns[WORK_SMALL],
		};
	}
	qsort(speeds, n_speeds, sizeof(speeds[0]), by_speed);
}

static void *measure_once(void *unused)
{
	pthread_once(&measured, measure);
	return unused;
}

static bool measured_ahead;

void aead_measure_ahead(void)
{
	pthread_t thread;

	/* If no thread can be made, the measurement runs when it is first needed. */
	if (pthread_create(&thread, NULL, measure_once, NULL))
		return;
	pthread_detach(thread);
	measured_ahead = true;
}

void aead_measure_end(void)
{
	if (measured_ahead)
		pthread_once(&measured, measure);
}

size_t aead_measure(struct aead_speed *out, size_t room)
{
	pthread_once(&measured, measure);
	if (room > n_speeds)
		room = n_speeds;
	memcpy(out, speeds, room * sizeof(*out));
	return room;
}

static const struct aead_backend *find(const char *name)
{
	for (size_t i = 0; i < N_BACKENDS; i++) {
		if (!strcmp(backends[i]->name, name))
			return backends[i];
	}
	return NULL;
}

/* One context for all kinds of work that a backend does. */
static int take(struct aead *a, enum work work, const struct aead_backend *backend)
{
	int err;

	for (int k = 0; k < N_WORK; k++) {
		if (a->backend[k] != backend)
			continue;
		a->context[work] = a->context[k];
		a->backend[work] = backend;
		return 0;
	}
	err = backend->open(&a->context[work]);
	if (!err)
		a->backend[work] = backend;
	return err;
}

int aead_new(const char *name, struct aead **out)
{
	const struct aead_backend *named = name ? find(name) : NULL;
	struct aead_speed first;
	struct aead *a;
	int err = 0;

	if (name && !named)
		return -ENOENT;
	if (name ? !named->available() : !aead_measure(&first, 1))
		return -ENOTSUP;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	for (int k = 0; k < N_WORK && !err; k++)
		err = take(a, k, named ? named : fastest_at[k]);
	if (err) {
		aead_free(a);
		return err;
	}
	*out = a;
	return 0;
}

void aead_free(struct aead *a)
{
	if (!a)
		return;
	for (int k = 0; k < N_WORK; k++) {
		bool shared = false;

		for (int i = 0; i < k; i++)
			shared |= a->backend[i] == a->backend[k];
		if (a->backend[k] && !shared)
			a->backend[k]->close(a->context[k]);
	}
	free(a);
}

const char *aead_backend(const struct aead *a)
{
	return a->backend[WORK_LARGE]->name;
}

static enum work kind(const struct aead_op *ops, size_t n)
{
	size_t bytes = 0;

	if (n <= FEW)
		return WORK_FEW;
	for (size_t i = 0; i < n; i++)
		bytes += ops[i].len;
	return bytes < n * SMALL ? WORK_SMALL : WORK_LARGE;
}

void aead_seal(struct aead *a, struct aead_op *ops, size_t n)
{
	const enum work k = kind(ops, n);

	seal(a->backend[k], a->context[k], ops, n);
}

size_t aead_open(struct aead *a, struct aead_op *ops, size_t n)
{
	const enum work k = kind(ops, n);

	const size_t good = a->backend[k]->open_batch(a->context[k], ops, n);

	forget(a->backend[k]);
	return good;
}
