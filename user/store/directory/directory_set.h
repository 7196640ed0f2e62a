/* SPDX-License-Identifier: Apache-2.0 */
/* Changes a settings document in a directory, as a person's command does: under a lock, so that of
 * two changes none is lost. */
#ifndef STORE_DIRECTORY_DIRECTORY_SET_H
#define STORE_DIRECTORY_DIRECTORY_SET_H

#include "store/store.h"

/* Of a node, or the cluster (NULL), in `folder`. 0, or -errno; -EINVAL with a line logged where what
 * is there is no JSON object. */
int directory_set(const char *folder, const char *node, const struct store_setting *changes,
		  unsigned int n);

#endif
