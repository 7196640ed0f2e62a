/* SPDX-License-Identifier: Apache-2.0 */
/* A backend of the AEAD seam, for tests that run once for each. */
#ifndef TESTS_BACKEND_H
#define TESTS_BACKEND_H

#include <errno.h>

#include "check.h"
#include "crypto/aead.h"

static const char *const backend_names[] = {"avx512", "avx2", "ipsec-mb", "openssl", "libsodium"};

/* *state is the backend's name. If this processor lacks it, the test is skipped. */
static inline struct aead *backend(void **state)
{
	struct aead *a;
	const int err = aead_new(*state, &a);

	if (err == -ENOTSUP || err == -ENOENT) {
		print_message("%s: not on this processor\n", (const char *)*state);
		skip();
	}
	assert_int_equal(err, 0);
	return a;
}

#endif
