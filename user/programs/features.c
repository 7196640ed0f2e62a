/* SPDX-License-Identifier: Apache-2.0 */
/* Finds out what this kernel supports. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "programs/loader.h"

#define KERNEL_BTF "/sys/kernel/btf/vmlinux"

/* Is the module loaded, or can the kernel load it on demand? */
static bool module_exists(const char *name)
{
	char path[PATH_MAX], *line = NULL;
	struct utsname kernel;
	bool there;
	size_t room = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/%s", name);
	there = !access(path, F_OK);
	if (there || uname(&kernel))
		return there;
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.dep", kernel.release);
	f = fopen(path, "re");
	while (f && !there && getline(&line, &room, f) > 0) {
		const char *at = strstr(line, name), *colon = strchr(line, ':');

		there = at && colon && at < colon && at[strlen(name)] == '.';
	}
	free(line);
	if (f)
		fclose(f);
	return there;
}

/* The names of the kernel's types and functions, each between two zero bytes. libbpf would parse
 * the types as well, which takes 20 ms: too long while traffic waits for the agent to start. */
static char *kernel_names(size_t *len)
{
	struct btf_header header;
	char *names = NULL;
	ssize_t n = 1;
	int fd = open(KERNEL_BTF, O_RDONLY | O_CLOEXEC);

	*len = 0;
	if (fd < 0)
		return NULL;
	if (pread(fd, &header, sizeof(header), 0) == sizeof(header) && header.magic == BTF_MAGIC)
		names = malloc(header.str_len);
	/* A read returns at most one page. */
	while (names && *len < header.str_len && n > 0) {
		n = pread(fd, names + *len, header.str_len - *len,
			  (off_t)header.hdr_len + header.str_off + (off_t)*len);
		*len += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	return names;
}

static bool has(const char *names, size_t len, const char *name)
{
	char whole[64] = {0};
	const int n = snprintf(whole + 1, sizeof(whole) - 2, "%s", name);

	return names && memmem(names, len, whole, (size_t)n + 2);
}

void programs_features(struct programs_features *out)
{
	size_t len;
	char *names = kernel_names(&len);

	memset(out, 0, sizeof(*out));
	out->btf = names != NULL;
	out->tc = (module_exists("sch_ingress") && module_exists("cls_bpf")) ||
		  (has(names, len, "clsact_init") && has(names, len, "cls_bpf_classify"));
	/* The first name came with fragments in generic XDP (Linux 6.9), the second with Linux
	 * 6.2. */
	out->superpackets =
		has(names, len, "skb_cow_data_for_xdp") && has(names, len, "bpf_cast_to_kern_ctx");
	free(names);
}
