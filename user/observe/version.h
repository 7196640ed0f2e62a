/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OBSERVE_VERSION_H
#define OBSERVE_VERSION_H

/* PODVEIL_VERSION, as `make VERSION=...` says. */
#include "podveil_version.h"

#endif
