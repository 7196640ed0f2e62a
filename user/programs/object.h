/* SPDX-License-Identifier: Apache-2.0 */
/* The two objects that are built in: for superpackets, and for kernels that cut them. Both have the
 * same maps and programs, so the skeleton of one fits the other. */
#ifndef PROGRAMS_OBJECT_H
#define PROGRAMS_OBJECT_H

#include <stdbool.h>
#include <stddef.h>

struct tunnel; /* the skeleton: tunnel.skel.h */

/* Opens the object; the programs that fit are marked for loading. tunnel__destroy() frees it. 0 or
 * -errno. */
int object_open(bool superpackets, struct tunnel **out);
/* Its ELF image. */
const void *object_image(bool superpackets, size_t *size);

#endif
