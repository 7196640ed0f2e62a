/* SPDX-License-Identifier: Apache-2.0 */
#include "programs/object.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "tunnel.skel.h"
#include "tunnel_whole.skel.h"

const void *object_image(bool superpackets, size_t *size)
{
	return superpackets ? tunnel__elf_bytes(size) : tunnel_whole__elf_bytes(size);
}

static struct tunnel *open_whole(void)
{
	struct tunnel *s = calloc(1, sizeof(*s));
	int err = s ? tunnel__create_skeleton(s) : -ENOMEM;

	if (!err) {
		s->skeleton->data = (void *)tunnel_whole__elf_bytes(&s->skeleton->data_sz);
		err = bpf_object__open_skeleton(s->skeleton, NULL);
	}
	if (!err)
		return s;
	tunnel__destroy(s);
	errno = -err;
	return NULL;
}

int object_open(bool superpackets, struct tunnel **out)
{
	struct tunnel *s = superpackets ? tunnel__open() : open_whole();

	*out = s;
	if (!s)
		return -errno;
	bpf_program__set_autoload(s->progs.classify, superpackets);
	bpf_program__set_autoload(s->progs.steer, superpackets);
	bpf_program__set_autoload(s->progs.classify_whole, !superpackets);
	bpf_program__set_autoload(s->progs.steer_whole, !superpackets);
	return 0;
}
