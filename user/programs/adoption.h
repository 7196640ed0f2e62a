/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that the next process takes over. Loading and verifying them takes 20 to 35 ms, and
 * after a kill no traffic flows during that time. So the programs are pinned beside their maps,
 * together with a record. The record is written last and then frozen. It holds the build of the
 * programs, and the kernel's ids of programs and maps. A new process takes over all of them or
 * none. It takes them over if everything it would load is there: the same build, the ids of the
 * record, and the types and sizes of its own object. Otherwise it logs why and loads its own.
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
	struct bpf_object *object; /* opened; autoload marks the programs that are wanted */
	const void *elf;	   /* the ELF image of the object */
	size_t elf_size;
	const struct bpf_map *aside; /* this map is created anew each time; NULL: none */
};

/* Call before loading. Takes over maps (bpf_map__fd()) and programs from the pins `name`. 0:
 * nothing is left to load. -ENOENT: there is no record. -ESTALE: the pins do not match this build
 * (logged); they stay unchanged. Other -errno: the maps could not be reused. */
int adoption_take(struct adoption *a, const struct adoption_source *s, const char *name);
/* Call before loading anew. A single map with its content, to go on with, if its shape matches: a
 * descriptor for the caller to close, or -1. If there is a record, even of another build, the map
 * must be in it. Versions without records: the shape decides. */
int adoption_kept(const struct bpf_map *map, const char *name);
/* Notes that this program was loaded, in the order of the object. 0 or -errno. */
int adoption_add(struct adoption *a, const struct bpf_program *program, int fd);
/* Call after adoption_add() for each program, and after pinning the maps. Pins the programs for the next process. 0
 * or -errno; after an error of pinning, the next process loads its own programs, and `a` still
 * holds these. */
int adoption_offer(struct adoption *a, const struct adoption_source *s, const char *directory);
/* Pins again what was unpinned. Returns the number of repaired pins, or -errno. */
int adoption_repair(const struct adoption *a, const char *directory);
/* The descriptor of a program, or -1. The adoption keeps ownership. */
int adoption_fd(const struct adoption *a, const struct bpf_program *program);
void adoption_fini(struct adoption *a);

#endif
