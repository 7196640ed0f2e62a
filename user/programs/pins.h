/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins under /sys/fs/bpf/podveil/NAME/: bpftool can read them, and the next process finds them.
 * Mounts a bpffs if there is none. Functions return 0 or -errno unless noted.
 */
#ifndef PROGRAMS_PINS_H
#define PROGRAMS_PINS_H

#include <stdbool.h>
#include <stddef.h>

struct bpf_map;
struct bpf_object;

/* Mounts a bpffs if there is none. A process that was confined (confine/confine.h) cannot. */
int pins_mount(void);
/* Creates the directory (mode 0700) and stores its path in `out`. After an error, `out` is
 * empty. */
int pins_directory(const char *name, char *out, size_t room);
/* Pins a map, program or link; replaces an existing pin. Does nothing if `directory` is empty. */
int pins_pin(const char *directory, int fd, const char *map);
/* Removes one pin. */
void pins_unlink(const char *directory, const char *map);
/* Pins all maps of an object, or none; then *out is empty. */
int pins_pin_all(struct bpf_object *o, const char *name, char *out, size_t room);
/* Marks a map of struct pv_counters as of this version. Call it after loading, before counting. */
void pins_sign_counters(int fd);
/* Has the map the layout of this version's struct pv_counters? */
bool pins_counters_fit(int fd);
/* Pins again what is missing or was replaced. `aside`: leaves out this map; NULL: none. Returns the
 * number of repaired pins, or -errno. */
int pins_repair(struct bpf_object *o, const struct bpf_map *aside, const char *directory);
int pins_repair_one(const char *directory, int fd, const char *map);
int pins_repair_program(const char *directory, int fd, const char *program);
int pins_repair_link(const char *directory, int fd, const char *link);
/* The descriptor of a pinned map (or program), or -errno. */
int pins_open(const char *name, const char *map);
void pins_remove(const char *name);
/* Calls back with the name of each directory; the callback may remove it. */
void pins_each(void (*each)(const char *name, void *context), void *context);
/* Renames the directory and stores its new path. */
int pins_rename(char *directory, size_t room, const char *name);

#endif
