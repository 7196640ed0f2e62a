/* SPDX-License-Identifier: Apache-2.0 */
#include "programs/adoption.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "podveil/counters.h"
#include "programs/pins.h"
#include "programs/program_maker.h"

#define RECORD "record"

/* The only value of the map `record`. */
struct record {
	uint8_t build[32]; /* BLAKE2b of the object and of the autoload flags */
	struct {
		uint32_t id, type;
		uint8_t tag[BPF_TAG_SIZE]; /* of its instructions */
	} programs[ADOPTION_PROGRAMS];	   /* in the order of the object */
	uint32_t maps[ADOPTION_MAPS];	   /* their ids, in the order of the object */
};

_Static_assert(sizeof(struct record) <= RECORD_ROOM, "make_record() takes it");

static void hash_build(const struct adoption_source *s, uint8_t out[32])
{
	crypto_generichash_state h;
	struct bpf_program *program;

	crypto_generichash_init(&h, NULL, 0, 32);
	crypto_generichash_update(&h, s->elf, s->elf_size);
	bpf_object__for_each_program(program, s->object)
	{
		const uint8_t wanted = bpf_program__autoload(program);

		crypto_generichash_update(&h, &wanted, 1);
	}
	crypto_generichash_final(&h, out, 32);
}

/* The info of a map has other fields than that of a program. If a pin holds the wrong object, its
 * id or type does not match. */
static bool describe_program(int fd, struct bpf_prog_info *out)
{
	uint32_t len = sizeof(*out);

	memset(out, 0, len);
	return !bpf_obj_get_info_by_fd(fd, out, &len);
}

static bool describe_map(int fd, struct bpf_map_info *out)
{
	uint32_t len = sizeof(*out);

	memset(out, 0, len);
	return !bpf_obj_get_info_by_fd(fd, out, &len);
}

static bool is_adopted(const struct adoption_source *s, const struct bpf_map *map)
{
	return map != s->aside && !bpf_map__is_internal(map);
}

/* --- taking over --- */

static bool read_record(const char *name, struct record *out)
{
	const uint32_t zero = 0;
	struct bpf_map_info info;
	int fd = pins_open(name, RECORD);
	bool good;

	if (fd < 0)
		return false;
	good = describe_map(fd, &info) && info.type == BPF_MAP_TYPE_ARRAY &&
	       info.value_size == sizeof(*out) && !bpf_map_lookup_elem(fd, &zero, out);
	close(fd);
	return good;
}

static bool fits_map(int fd, const struct bpf_map *map, uint32_t id)
{
	struct bpf_map_info info;

	return fd >= 0 && describe_map(fd, &info) && info.id == id &&
	       info.type == bpf_map__type(map) && info.key_size == bpf_map__key_size(map) &&
	       info.value_size == bpf_map__value_size(map) &&
	       info.max_entries == bpf_map__max_entries(map) &&
	       info.map_flags == bpf_map__map_flags(map) &&
	       (info.value_size != sizeof(struct pv_counters) || pins_counters_fit(fd));
}

static bool fits_program(int fd, const struct bpf_program *program, const struct record *r,
			 size_t i)
{
	struct bpf_prog_info info;

	return fd >= 0 && describe_program(fd, &info) && info.id == r->programs[i].id &&
	       info.type == bpf_program__type(program) && info.type == r->programs[i].type &&
	       !memcmp(info.tag, r->programs[i].tag, BPF_TAG_SIZE);
}

/* Returns the name of the first pin that does not match, or NULL. */
static const char *take_programs(struct adoption *a, const struct adoption_source *s,
				 const char *name, const struct record *r)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, s->object)
	{
		const char *const called = bpf_program__name(program);
		int fd;

		if (!bpf_program__autoload(program))
			continue;
		fd = pins_open(name, called);
		if (a->n == ADOPTION_PROGRAMS || !fits_program(fd, program, r, a->n)) {
			if (fd >= 0)
				close(fd);
			return called;
		}
		a->programs[a->n].name = called;
		a->programs[a->n++].fd = fd;
	}
	return NULL;
}

static const char *take_maps(const struct adoption_source *s, const char *name,
			     const struct record *r, int fds[ADOPTION_MAPS])
{
	struct bpf_map *map;
	size_t i = 0;

	bpf_object__for_each_map(map, s->object)
	{
		if (!is_adopted(s, map))
			continue;
		if (i == ADOPTION_MAPS)
			return bpf_map__name(map);
		fds[i] = pins_open(name, bpf_map__name(map));
		if (!fits_map(fds[i], map, r->maps[i]))
			return bpf_map__name(map);
		i++;
	}
	return NULL;
}

static int use_maps(const struct adoption_source *s, const int fds[ADOPTION_MAPS])
{
	struct bpf_map *map;
	size_t i = 0;
	int err = 0;

	bpf_object__for_each_map(map, s->object)
	{
		if (is_adopted(s, map) && !err)
			err = bpf_map__reuse_fd(map, fds[i++]);
	}
	return err;
}

static int take_all(struct adoption *a, const struct adoption_source *s, const char *name,
		    const struct record *r)
{
	int fds[ADOPTION_MAPS], err;
	const char *wrong;

	memset(fds, -1, sizeof(fds));
	wrong = take_programs(a, s, name, r);
	if (!wrong)
		wrong = take_maps(s, name, r, fds);
	err = wrong ? -ESTALE : use_maps(s, fds);
	for (size_t i = 0; i < ADOPTION_MAPS; i++)
		if (fds[i] >= 0)
			close(fds[i]); /* the maps keep their own descriptors */
	if (wrong)
		log_warn(
			"a pinned object is not the one that an earlier process recorded: loading new programs",
			"pin=/sys/fs/bpf/podveil/%s/%s", name, wrong);
	return err;
}

int adoption_take(struct adoption *a, const struct adoption_source *s, const char *name)
{
	uint8_t build[32];
	struct record r;
	int err;

	if (!read_record(name, &r))
		return -ENOENT;
	hash_build(s, build);
	if (memcmp(r.build, build, sizeof(build)) != 0) {
		log_info("the pinned programs are from another build: loading new programs",
			 "directory=/sys/fs/bpf/podveil/%s", name);
		return -ESTALE;
	}
	err = take_all(a, s, name, &r);
	if (err) {
		adoption_fini(a);
		return err;
	}
	a->record = pins_open(name, RECORD);
	log_info("took over the programs of an earlier process", "directory=/sys/fs/bpf/podveil/%s",
		 name);
	return 0;
}

int adoption_kept(const struct bpf_map *map, const char *name)
{
	const int fd = bpf_map__is_internal(map) ? -1 : pins_open(name, bpf_map__name(map));
	struct bpf_map_info info;
	struct record r;
	bool known;

	if (fd < 0)
		return -1;
	known = describe_map(fd, &info);
	if (known && read_record(name, &r)) {
		known = false;
		for (size_t i = 0; i < ADOPTION_MAPS; i++)
			known |= info.id == r.maps[i];
	}
	if (known && fits_map(fd, map, info.id))
		return fd;
	close(fd);
	return -1;
}

int adoption_add(struct adoption *a, const struct bpf_program *program, int fd)
{
	const int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (own < 0)
		return -errno;
	if (a->n == ADOPTION_PROGRAMS) {
		close(own);
		return -ENOSPC;
	}
	a->programs[a->n].name = bpf_program__name(program);
	a->programs[a->n++].fd = own;
	return 0;
}

/* --- pinning for the next process --- */

/* Also unpins programs that were not loaded, so that the next process does not find them. */
static int note_programs(const struct adoption *a, const struct adoption_source *s,
			 const char *directory, struct record *r)
{
	struct bpf_program *program;
	struct bpf_prog_info info;
	size_t i = 0;

	bpf_object__for_each_program(program, s->object)
	{
		const int fd = adoption_fd(a, program);

		if (fd < 0) {
			pins_unlink(directory, bpf_program__name(program));
			continue;
		}
		if (!describe_program(fd, &info))
			return -errno;
		r->programs[i].id = info.id;
		r->programs[i].type = info.type;
		memcpy(r->programs[i++].tag, info.tag, BPF_TAG_SIZE);
	}
	return 0;
}

static int note_maps(const struct adoption_source *s, struct record *r)
{
	struct bpf_map_info info;
	struct bpf_map *map;
	size_t i = 0;

	bpf_object__for_each_map(map, s->object)
	{
		if (!is_adopted(s, map))
			continue;
		if (i == ADOPTION_MAPS || !describe_map(bpf_map__fd(map), &info))
			return -ENOSPC;
		r->maps[i++] = info.id;
	}
	return 0;
}

int adoption_offer(struct adoption *a, const struct adoption_source *s, const char *directory)
{
	struct record r = {.build = {0}};
	int err;

	if (a->record >= 0)
		close(a->record);
	a->record = -1;
	/* First remove the record of an earlier build. */
	pins_unlink(directory, RECORD);
	err = note_programs(a, s, directory, &r);
	if (!err)
		err = note_maps(s, &r);
	if (err || !*directory)
		return err;
	hash_build(s, r.build);
	for (size_t i = 0; i < a->n && !err; i++)
		err = pins_pin(directory, a->programs[i].fd, a->programs[i].name);
	if (err)
		return err;
	a->record = make_record(&r, sizeof(r));
	return a->record < 0 ? a->record : pins_pin(directory, a->record, RECORD);
}

/* --- using --- */

int adoption_repair(const struct adoption *a, const char *directory)
{
	int repaired = 0, err = 0;

	for (size_t i = 0; i < a->n && err >= 0; i++) {
		err = pins_repair_program(directory, a->programs[i].fd, a->programs[i].name);
		repaired += err > 0;
	}
	if (err >= 0 && a->record >= 0) {
		err = pins_repair_one(directory, a->record, RECORD);
		repaired += err > 0;
	}
	return err < 0 ? err : repaired;
}

int adoption_fd(const struct adoption *a, const struct bpf_program *program)
{
	for (size_t i = 0; i < a->n; i++)
		if (!strcmp(a->programs[i].name, bpf_program__name(program)))
			return a->programs[i].fd;
	return -1;
}

void adoption_fini(struct adoption *a)
{
	for (size_t i = 0; i < a->n; i++)
		close(a->programs[i].fd);
	if (a->record >= 0)
		close(a->record);
	*a = (struct adoption)ADOPTION_NONE;
}
