/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An array that grows: a pointer, the number of elements in use and the room, which their owner
 * keeps as three members. All three are zero at first; free() ends the array.
 *
 *   if (ARRAY_GROW(r->all, r->n, r->room))
 *           return -ENOMEM;
 *   r->all[r->n++] = one;
 */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#define ARRAY_FIRST_ROOM 8

/* The array `all` with room for more than `n` elements of `size` bytes. NULL: no memory; `all` and
 * *room stay as they are. The room doubles, so that adding costs the same on average. */
static inline void *array_grow(void *all, size_t n, size_t *room, size_t size)
{
	const size_t more = *room ? *room * 2 : ARRAY_FIRST_ROOM;
	size_t bytes;
	void *grown;

	if (n < *room)
		return all;
	if (more <= n || __builtin_mul_overflow(more, size, &bytes))
		return NULL;
	grown = realloc(all, bytes);
	if (grown)
		*room = more;
	return grown;
}

/* Makes room for one more element. 0, or -ENOMEM: nothing changed. Evaluates its arguments more
 * than once. */
#define ARRAY_GROW(all, n, room)                                                                   \
	({                                                                                         \
		void *array_grown = array_grow((all), (n), &(room), sizeof(*(all)));               \
                                                                                                   \
		if (array_grown)                                                                   \
			(all) = array_grown;                                                       \
		array_grown ? 0 : -ENOMEM;                                                         \
	})

#endif
