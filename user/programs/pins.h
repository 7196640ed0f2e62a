/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps under /sys/fs/bpf/podveil/NAME/: readable with bpftool, and there for the next process.
 * Mounts a bpffs where there is none. 0 or -errno.
 */
#ifndef PROGRAMS_PINS_H
#define PROGRAMS_PINS_H

#include <stdbool.h>
#include <stddef.h>

struct bpf_map;
struct bpf_object;

/* The directory is made (mode 0700) and its path stored; empty where it cannot be. */
int pins_directory(const char *name, char *out, size_t room);
/* Pins one map, or a link, in place of whatever was there. Nothing to do where directory is empty. */
int pins_pin(const char *directory, int fd, const char *map);
/* Takes its name from one map. */
void pins_unlink(const char *directory, const char *map);
/* Pins all maps of an object. All, or none, and *out is empty. */
int pins_pin_all(struct bpf_object *o, const char *name, char *out, size_t room);
/* After loading, before anything counts: a map of struct pv_counters is marked as of this version. */
void pins_sign_counters(int fd);
/* False: counters of a version that has other members at the same places. */
bool pins_counters_fit(int fd);
/* Pins again what is missing or another map. How many, or -errno. */
int pins_repair(struct bpf_object *o, const char *directory);
int pins_repair_one(const char *directory, int fd, const char *map);
int pins_repair_program(const char *directory, int fd, const char *program);
int pins_repair_link(const char *directory, int fd, const char *link);
/* A pinned map's descriptor, or -errno. */
int pins_open(const char *name, const char *map);
void pins_remove(const char *name);
/* Calls back with the name of each directory; it may remove it. */
void pins_each(void (*each)(const char *name, void *context), void *context);
/* Renames the directory; its path is stored anew. */
int pins_rename(char *directory, size_t room, const char *name);

#endif
