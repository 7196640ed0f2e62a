/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/xsk_rings.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>

static int set_size(int fd, int ring, uint32_t size)
{
	return setsockopt(fd, SOL_XDP, ring, &size, sizeof(size)) ? -errno : 0;
}

static uint32_t completion_size(bool sends)
{
	return sends ? XSK_SENDABLE : 64;
}

int xsk_rings_make(int fd, bool sends)
{
	int err = set_size(fd, XDP_UMEM_FILL_RING, XSK_CHUNKS);

	if (!err)
		err = set_size(fd, XDP_UMEM_COMPLETION_RING, completion_size(sends));
	if (!err)
		err = set_size(fd, XDP_RX_RING, XSK_RX_RING);
	if (!err && sends)
		err = set_size(fd, XDP_TX_RING, XSK_SENDABLE);
	return err;
}

/* The address, or NULL with errno. */
static uint8_t *map_ring(int fd, struct xsk_rings *r, int which, uint64_t page, uint64_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
			(off_t)page);

	if (at == MAP_FAILED)
		return NULL;
	r->mapped[which].at = at;
	r->mapped[which].size = size;
	return at;
}

/* A producer keeps the consumer's position plus the size. */
static void use_as_producer(struct xsk_ring_prod *r, const struct xdp_ring_offset *o, uint8_t *at,
			    uint32_t size)
{
	*r = (struct xsk_ring_prod){
		.mask = size - 1,
		.size = size,
		.producer = (uint32_t *)(at + o->producer),
		.consumer = (uint32_t *)(at + o->consumer),
		.ring = at + o->desc,
		.flags = (uint32_t *)(at + o->flags),
	};
	r->cached_prod = *r->producer;
	r->cached_cons = __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE) + size;
}

static void use_as_consumer(struct xsk_ring_cons *r, const struct xdp_ring_offset *o, uint8_t *at,
			    uint32_t size)
{
	*r = (struct xsk_ring_cons){
		.mask = size - 1,
		.size = size,
		.producer = (uint32_t *)(at + o->producer),
		.consumer = (uint32_t *)(at + o->consumer),
		.ring = at + o->desc,
		.flags = (uint32_t *)(at + o->flags),
	};
	r->cached_cons = *r->consumer;
	r->cached_prod = r->cached_cons;
}

int xsk_rings_map(int fd, bool sends, struct xsk_rings *r)
{
	const uint32_t completion = completion_size(sends);
	struct xdp_mmap_offsets o;
	socklen_t len = sizeof(o);
	uint8_t *at;

	if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &o, &len))
		return -errno;
	at = map_ring(fd, r, XSK_FILL, XDP_UMEM_PGOFF_FILL_RING,
		      o.fr.desc + XSK_CHUNKS * sizeof(uint64_t));
	if (!at)
		return -errno;
	use_as_producer(&r->fill, &o.fr, at, XSK_CHUNKS);
	at = map_ring(fd, r, XSK_COMPLETION, XDP_UMEM_PGOFF_COMPLETION_RING,
		      o.cr.desc + completion * sizeof(uint64_t));
	if (!at)
		return -errno;
	use_as_consumer(&r->completion, &o.cr, at, completion);
	at = map_ring(fd, r, XSK_RX, XDP_PGOFF_RX_RING,
		      o.rx.desc + XSK_RX_RING * sizeof(struct xdp_desc));
	if (!at)
		return -errno;
	use_as_consumer(&r->rx, &o.rx, at, XSK_RX_RING);
	if (!sends)
		return 0;
	at = map_ring(fd, r, XSK_TX, XDP_PGOFF_TX_RING,
		      o.tx.desc + XSK_SENDABLE * sizeof(struct xdp_desc));
	if (!at)
		return -errno;
	use_as_producer(&r->tx, &o.tx, at, XSK_SENDABLE);
	return 0;
}

void xsk_rings_unmap(struct xsk_rings *r)
{
	for (int i = 0; i < XSK_RINGS; i++)
		if (r->mapped[i].at)
			munmap(r->mapped[i].at, r->mapped[i].size);
}
