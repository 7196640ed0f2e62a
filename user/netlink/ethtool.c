/* SPDX-License-Identifier: Apache-2.0 */
#include "netlink/ethtool.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int call(int fd, const char *device, void *command)
{
	struct ifreq request;

	memset(&request, 0, sizeof(request));
	strncpy(request.ifr_name, device, sizeof(request.ifr_name) - 1);
	request.ifr_data = command;
	/* A positive result: the kernel did a part only. Some features are fixed, or follow from
	 * others. */
	return ioctl(fd, SIOCETHTOOL, &request) < 0 ? -errno : 0;
}

static int feature_names(int fd, const char *device, struct ethtool_gstrings **out)
{
	/* The answer, one number for the one set that is asked for, lies behind the structure. */
	uint32_t buffer[sizeof(struct ethtool_sset_info) / sizeof(uint32_t) + 1] = {0};
	struct ethtool_sset_info *info = (struct ethtool_sset_info *)buffer;
	struct ethtool_gstrings *names;
	int err;

	info->cmd = ETHTOOL_GSSET_INFO;
	info->sset_mask = 1ull << ETH_SS_FEATURES;
	err = call(fd, device, info);
	if (err)
		return err;
	names = calloc(1, sizeof(*names) + (size_t)info->data[0] * ETH_GSTRING_LEN);
	if (!names)
		return -ENOMEM;
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_FEATURES;
	names->len = info->data[0];
	err = call(fd, device, names);
	if (err)
		free(names);
	else
		*out = names;
	return err;
}

static bool contains(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

int ethtool_features(const char *device, const char *const *wanted, size_t n,
		     bool (*concerns)(const char *name))
{
	struct ethtool_gstrings *names = NULL;
	struct ethtool_gfeatures *now = NULL;
	struct ethtool_sfeatures *set = NULL;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	err = feature_names(fd, device, &names);
	if (err)
		goto out;

	const uint32_t blocks = (names->len + 31) / 32;

	now = calloc(1, sizeof(*now) + blocks * sizeof(now->features[0]));
	set = calloc(1, sizeof(*set) + blocks * sizeof(set->features[0]));
	if (!now || !set) {
		err = -ENOMEM;
		goto out;
	}
	now->cmd = ETHTOOL_GFEATURES;
	now->size = blocks;
	err = call(fd, device, now);
	if (err)
		goto out;
	set->cmd = ETHTOOL_SFEATURES;
	set->size = blocks;
	for (uint32_t i = 0; i < names->len; i++) {
		const char *name = (const char *)names->data + (size_t)i * ETH_GSTRING_LEN;
		const uint32_t bit = 1u << (i % 32);
		const bool on = contains(wanted, n, name);

		/* The whole request fails if it names a feature that cannot change (tx-lockless
		 * until Linux 6.11). */
		if (now->features[i / 32].never_changed & bit || (!on && !concerns(name)))
			continue;
		set->features[i / 32].valid |= bit;
		if (on)
			set->features[i / 32].requested |= bit;
	}
	err = call(fd, device, set);
out:
	free(now);
	free(set);
	free(names);
	close(fd);
	return err;
}
