/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OBSERVE_VERSION_H
#define OBSERVE_VERSION_H

/* `make VERSION=...` gives another. */
#ifndef PODVEIL_VERSION
#define PODVEIL_VERSION "0.1.0"
#endif

#endif
