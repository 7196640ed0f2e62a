/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

/* PODVEIL_VERSION, as `make VERSION=...` says. */
#include "podveil_version.h"

#endif
