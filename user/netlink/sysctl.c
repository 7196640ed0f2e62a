/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/sysctl.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

static FILE *file_of(const char *path, const char *mode)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "/proc/sys/%s", path);
	return fopen(full, mode);
}

int sysctl_get(const char *path, int *value)
{
	FILE *f = file_of(path, "re");
	int err = 0;

	if (!f)
		return -errno;
	if (fscanf(f, "%d", value) != 1)
		err = -EINVAL;
	fclose(f);
	return err;
}

int sysctl_set(const char *path, int value)
{
	int now, err = sysctl_get(path, &now);
	FILE *f;

	if (err)
		return err;
	if (now == value)
		return 0;
	f = file_of(path, "we");
	if (!f)
		return -errno;
	if (fprintf(f, "%d\n", value) < 0)
		err = -errno;
	if (fclose(f) && !err)
		err = -errno;
	return err ? err : 1;
}
