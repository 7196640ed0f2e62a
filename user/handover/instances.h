/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of processes, so that devices go one way only: who has handed them over does not take them
 * back, even if somebody starts it again with --take-over. The names of those that handed over go
 * along from process to process. They are no secret. Pure.
 *
 * In messages of the handover (channel.h), a name is text with a zero at its end.
 */
#ifndef HANDOVER_INSTANCES_H
#define HANDOVER_INSTANCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSTANCE_MAX   63 /* characters; the UID of a pod has 36 */
#define INSTANCES_KEPT 8
/* What instances_write() needs at most. */
#define INSTANCES_ROOM ((size_t)INSTANCES_KEPT * (INSTANCE_MAX + 1))

struct instances {
	size_t n;
	char names[INSTANCES_KEPT][INSTANCE_MAX + 1]; /* the oldest first */
};

/* 1 to INSTANCE_MAX letters, digits, '-', '.' and '_'. */
bool instance_is_valid(const char *name);
bool instances_has(const struct instances *list, const char *name);
/* At the end, once. If there is no room, the oldest name is left out. "" is no name. */
void instances_add(struct instances *list, const char *name);

/* The number of bytes; `out` has INSTANCES_ROOM. */
size_t instances_write(const struct instances *list, uint8_t *out);
/* Names that are not valid come from another version, and are left out. */
void instances_read(const uint8_t *bytes, size_t length, struct instances *out);
/* Name number `i` of the texts in `bytes`; "": there is none, or it is not valid. */
void instances_read_one(const uint8_t *bytes, size_t length, size_t i, char out[INSTANCE_MAX + 1]);

#endif
