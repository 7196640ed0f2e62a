/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/source_check.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "netlink/sysctl.h"

#define BY_MARK "net/ipv4/conf/all/src_valid_mark"
/* This file exists while our change is in force. The next agent finds it and can undo the
 * change. */
#define SWITCHED "/run/podveil/src_valid_mark"

int source_check_loosen(const char *device)
{
	char path[64 + IF_NAMESIZE];
	int now, err;

	snprintf(path, sizeof(path), "net/ipv4/conf/%s/rp_filter", device);
	err = sysctl_set(path, 2);
	if (err != -EROFS && err != -EACCES)
		return err;
	if (!sysctl_get(path, &now) && now == 1)
		log_warn("packets may be lost while encryption is being switched on or off",
			 "sysctl=%s value=1 needs=2 problem=\"/proc/sys is read-only\"", path);
	return 0;
}

static bool is_switched(void)
{
	return !access(SWITCHED, F_OK);
}

void source_check_by_mark(bool wanted)
{
	FILE *f;
	int before;

	if (wanted == is_switched())
		return;
	if (!wanted) {
		unlink(SWITCHED);
		sysctl_set(BY_MARK, 0);
	} else if (!sysctl_get(BY_MARK, &before) && !before) {
		f = fopen(SWITCHED, "we");
		if (f)
			fclose(f);
		sysctl_set(BY_MARK, 1);
	}
}

void source_check_repair(void)
{
	if (is_switched())
		sysctl_set(BY_MARK, 1);
}
