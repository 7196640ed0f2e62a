/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that go on with the process after: loading and verifying them takes 20 to 35 ms, during
 * which an agent that was killed carries nothing. So programs are pinned beside their maps, with a
 * record, written last and frozen, that says which build they are of, and by what numbers the kernel
 * knows them. Who starts takes all of them or none: all that it would load itself must be there, of
 * the same build, under the numbers of the record, and with the type and sizes of its own.
 * Whatever else is found is never used; the log says why, and it is loaded anew.
 *
 * Owner: the control thread.
 */
#ifndef PROGRAMS_ADOPTION_H
#define PROGRAMS_ADOPTION_H

#include <stddef.h>
#include <stdint.h>

struct bpf_map;
struct bpf_object;
struct bpf_program;

#define ADOPTION_PROGRAMS 8
#define ADOPTION_MAPS	  16

/* The programs of an object, loaded or adopted. */
struct adoption {
	struct {
		const char *name;
		int fd;
	} programs[ADOPTION_PROGRAMS];
	size_t n;
	int record; /* -1: none */
};

#define ADOPTION_NONE                                                                              \
	{                                                                                          \
		.record = -1                                                                       \
	}

struct adoption_source {
	struct bpf_object *object; /* opened; which programs are wanted is said with autoload */
	const void *elf;	   /* what it was opened from */
	size_t elf_size;
	const struct bpf_map *aside; /* one that is made anew each time; NULL: none */
};

/* Before loading: takes maps (bpf_map__fd()) and programs over from the pins `name`; then nothing
 * is to be loaded. -ENOENT: there are none. -ESTALE: they are not what would be loaded, which was
 * logged; the pins are left alone. */
int adoption_take(struct adoption *a, const struct adoption_source *s, const char *name);
/* Before loading anew: takes over one map alone, with its content. The record may be of another
 * build, but has to know the map; of a version that had no records it is what has the same shape. */
void adoption_keep(struct bpf_map *map, const char *name);
/* After loading and pinning the maps: pins the programs for the next process. 0 or -errno; then the
 * next one loads its own. The programs are in `a` in any case. */
int adoption_offer(struct adoption *a, const struct adoption_source *s, const char *directory);
/* Pins again what somebody unpinned. How many, or -errno. */
int adoption_repair(const struct adoption *a, const char *directory);
/* The descriptor of a program, or -1. It is the adoption's. */
int adoption_fd(const struct adoption *a, const struct bpf_program *program);
void adoption_fini(struct adoption *a);

#endif
