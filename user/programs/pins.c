/* SPDX-License-Identifier: Apache-2.0 */
#include "programs/pins.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/counters.h"
#include "programs/program_id.h"

#define BPFFS	 "/sys/fs/bpf"
#define PIN_ROOT BPFFS "/podveil"

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && fs.f_type == BPF_FS_MAGIC;
}

static int make_directory(const char *path, mode_t mode)
{
	return mkdir(path, mode) && errno != EEXIST ? -errno : 0;
}

/* bpffs refuses names with a dot, such as wireguard.cali, in a directory that has any permission
 * bit (they are "reserved for future extensions"). Root needs no permission bits. */
static int make_root(void)
{
	int err = make_directory(PIN_ROOT, 0);
	struct stat s;

	/* Only its owner can change the mode: an earlier process may have had another user. */
	if (err || (!stat(PIN_ROOT, &s) && !(s.st_mode & 0777)))
		return err;
	return chmod(PIN_ROOT, 0) ? -errno : 0;
}

int pins_mount(void)
{
	if (is_bpffs(BPFFS))
		return 0;
	return mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") ? -errno
											 : 0;
}

int pins_directory(const char *name, char *out, size_t room)
{
	int err;

	*out = 0;
	err = pins_mount();
	if (!err)
		err = make_root();
	if (err)
		return err;
	snprintf(out, room, "%s/%s", PIN_ROOT, name);
	err = make_directory(out, 0700);
	if (err)
		*out = 0;
	return err;
}

int pins_pin(const char *directory, int fd, const char *map)
{
	char path[PATH_MAX], fresh[PATH_MAX];

	if (!*directory)
		return 0;
	if (snprintf(path, sizeof(path), "%s/%s", directory, map) >= (int)sizeof(path) ||
	    snprintf(fresh, sizeof(fresh), "%s/%s_new", directory, map) >= (int)sizeof(fresh))
		return -ENAMETOOLONG;
	/* bpffs can rename, but not replace: for a moment a reader finds no pin. */
	unlink(fresh);
	if (bpf_obj_pin(fd, fresh))
		return -errno;
	if (chmod(fresh, 0600) || (unlink(path) && errno != ENOENT) || rename(fresh, path)) {
		int err = -errno;

		unlink(fresh);
		return err;
	}
	return 0;
}

void pins_unlink(const char *directory, const char *map)
{
	char path[PATH_MAX];

	if (*directory && snprintf(path, sizeof(path), "%s/%s", directory, map) < (int)sizeof(path))
		unlink(path);
}

static void remove_directory(const char *directory)
{
	DIR *d = opendir(directory);
	struct dirent *entry;

	if (!d)
		return;
	while ((entry = readdir(d)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(d), entry->d_name, 0);
	closedir(d);
	rmdir(directory);
	rmdir(PIN_ROOT); /* stays while others have pins there */
}

void pins_remove(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", PIN_ROOT, name);
	remove_directory(path);
}

void pins_each(void (*each)(const char *name, void *context), void *context)
{
	DIR *d = opendir(PIN_ROOT);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			each(entry->d_name, context);
	if (d)
		closedir(d);
}

int pins_pin_all(struct bpf_object *o, const char *name, char *out, size_t room)
{
	struct bpf_map *map;
	int err = pins_directory(name, out, room);

	if (err)
		return err;
	bpf_object__for_each_map(map, o)
	{
		if (bpf_map__is_internal(map))
			continue;
		err = pins_pin(out, bpf_map__fd(map), bpf_map__name(map));
		if (err) {
			remove_directory(out);
			*out = 0;
			return err;
		}
	}
	return 0;
}

int pins_open(const char *name, const char *map)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s/%s", PIN_ROOT, name, map);
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

bool pins_counters_fit(int fd)
{
	const uint32_t first = 0;
	struct pv_counters c;

	return !bpf_map_lookup_elem(fd, &first, &c) && c.layout == counters_layout();
}

void pins_sign_counters(int fd)
{
	const uint32_t first = 0;
	struct pv_counters c;

	if (pins_counters_fit(fd) || bpf_map_lookup_elem(fd, &first, &c))
		return;
	c.layout = counters_layout();
	bpf_map_update_elem(fd, &first, &c, BPF_ANY);
}

static uint32_t map_id(int fd)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	return fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

static uint32_t link_id(int fd)
{
	struct bpf_link_info info = {0};
	uint32_t len = sizeof(info);

	return fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

static int repair_one(const char *directory, int fd, const char *name, uint32_t (*id_of)(int fd))
{
	char path[PATH_MAX];
	uint32_t id;
	int there, err;

	if (!*directory ||
	    snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
		return 0;
	there = bpf_obj_get(path);
	id = id_of(there);
	if (there >= 0)
		close(there);
	if (id && id == id_of(fd))
		return 0;
	err = make_root();
	if (!err)
		err = make_directory(directory, 0700);
	if (!err)
		err = pins_pin(directory, fd, name);
	return err ? err : 1;
}

int pins_repair_one(const char *directory, int fd, const char *map)
{
	return repair_one(directory, fd, map, map_id);
}

int pins_repair_program(const char *directory, int fd, const char *program)
{
	return repair_one(directory, fd, program, program_id);
}

int pins_repair_link(const char *directory, int fd, const char *link)
{
	return repair_one(directory, fd, link, link_id);
}

int pins_repair(struct bpf_object *o, const struct bpf_map *aside, const char *directory)
{
	struct bpf_map *map;
	int repaired = 0;

	bpf_object__for_each_map(map, o)
	{
		int err;

		if (bpf_map__is_internal(map) || map == aside)
			continue;
		err = pins_repair_one(directory, bpf_map__fd(map), bpf_map__name(map));
		if (err < 0)
			return err;
		repaired += err;
	}
	return repaired;
}

int pins_rename(char *directory, size_t room, const char *name)
{
	char path[PATH_MAX];

	if (!*directory)
		return 0;
	snprintf(path, sizeof(path), "%s/%s", PIN_ROOT, name);
	/* An empty directory of a dead process may be there, and rename() would fail. */
	remove_directory(path);
	if (rename(directory, path))
		return -errno;
	snprintf(directory, room, "%s", path);
	return 0;
}
