/* SPDX-License-Identifier: Apache-2.0 */
#include "handover/record_file.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "handover/channel.h"

int record_file_new(const struct handover_record *r)
{
	const size_t length = handover_record_size(r) - (channel_test("old:truncate") ? 1 : 0);
	int fd = memfd_create("podveil-record", MFD_CLOEXEC), err;
	uint8_t *bytes;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)length)) {
		err = -errno;
		close(fd);
		return err;
	}
	bytes = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes == MAP_FAILED) {
		err = -errno;
		close(fd);
		return err;
	}
	handover_record_write(r, bytes, length);
	if (channel_test("old:format"))
		bytes[8]++;
	munmap(bytes, length);
	return fd;
}

int record_file_read(int fd, struct handover_record *out, const char **problem)
{
	struct stat file;
	uint8_t *bytes;
	size_t length;
	int err;

	*problem = "it cannot be read";
	if (fstat(fd, &file) || file.st_size <= 0)
		return -EPROTO;
	length = (size_t)file.st_size;
	bytes = malloc(length);
	if (!bytes)
		return -ENOMEM;
	err = pread(fd, bytes, length, 0) == file.st_size ? 0 : -EPROTO;
	if (!err) {
		record_file_wipe(fd);
		err = handover_record_read(bytes, length, out, problem);
	}
	sodium_memzero(bytes, length);
	free(bytes);
	return err;
}

void record_file_wipe(int fd)
{
	struct stat file;
	void *bytes;

	if (fd < 0 || fstat(fd, &file) || !file.st_size)
		return;
	bytes = mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bytes != MAP_FAILED) {
		sodium_memzero(bytes, (size_t)file.st_size);
		munmap(bytes, (size_t)file.st_size);
	}
}
