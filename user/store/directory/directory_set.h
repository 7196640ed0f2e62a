/* SPDX-License-Identifier: Apache-2.0 */
/* Changes a settings document in a directory, as `podveil enable` does. Works under a lock, so
 * that no change is lost when two commands run at once. */
#ifndef STORE_DIRECTORY_DIRECTORY_SET_H
#define STORE_DIRECTORY_DIRECTORY_SET_H

#include "store/store.h"

/* Changes the settings of a node, or of the cluster (NULL), in `folder`. 0 or -errno; -EINVAL,
 * logged: the existing file is no JSON object. */
int directory_set(const char *folder, const char *node, const struct store_setting *changes,
		  unsigned int n);

#endif
