/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/xsk.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <xdp/xsk.h>

/* Newer than Debian 12's headers; the values are the kernel's ABI. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif

/* 2048 chunks of 4 KiB hold 113 superpackets, more than a TCP window that veth's lack of
 * back-pressure lets loose at once. The kernel pins all of it: 8 MiB a worker. */
#define CHUNK_SIZE  4096u
#define N_CHUNKS    2048u
#define RING_SIZE   2048u
#define SPARE_PARTS 4 /* a quarter may be staged */

struct xsk {
	struct xsk_umem *umem;
	struct xsk_socket *socket;
	struct xsk_ring_prod fill;
	struct xsk_ring_cons completion; /* never used: nothing is sent here */
	struct xsk_ring_cons rx;
	uint8_t *memory;
	struct xsk_statistics told; /* by the kernel, last */
	unsigned int n_free;
	uint64_t free[N_CHUNKS]; /* a stack: the chunk used last is the warmest */
};

int xsk_open(int ifindex, unsigned int queue, bool chains, struct xsk **out)
{
	const struct xsk_umem_config umem_config = {
		.fill_size = N_CHUNKS,
		.comp_size = 64,
		.frame_size = CHUNK_SIZE,
	};
	const struct xsk_socket_config config = {
		.rx_size = RING_SIZE,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_COPY | (chains ? XDP_USE_SG : 0),
	};
	char name[IF_NAMESIZE];
	struct xsk *x;
	int err;

	if (!if_indextoname((unsigned int)ifindex, name))
		return -ENODEV;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->memory = mmap(NULL, (size_t)N_CHUNKS * CHUNK_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (x->memory == MAP_FAILED) {
		x->memory = NULL;
		err = -ENOMEM;
		goto fail;
	}
	err = xsk_umem__create(&x->umem, x->memory, (size_t)N_CHUNKS * CHUNK_SIZE, &x->fill,
			       &x->completion, &umem_config);
	if (err)
		goto fail;
	err = xsk_socket__create(&x->socket, name, queue, x->umem, &x->rx, NULL, &config);
	if (err)
		goto fail;
	for (unsigned int i = 0; i < N_CHUNKS; i++)
		x->free[x->n_free++] = (uint64_t)(N_CHUNKS - 1 - i) * CHUNK_SIZE;
	xsk_refill(x);
	*out = x;
	return 0;
fail:
	xsk_close(x);
	return err;
}

void xsk_close(struct xsk *x)
{
	if (!x)
		return;
	if (x->socket)
		xsk_socket__delete(x->socket);
	if (x->umem)
		xsk_umem__delete(x->umem);
	if (x->memory) {
		/* Inner packets lay here. */
		explicit_bzero(x->memory, (size_t)N_CHUNKS * CHUNK_SIZE);
		munmap(x->memory, (size_t)N_CHUNKS * CHUNK_SIZE);
	}
	free(x);
}

int xsk_fd(const struct xsk *x)
{
	return xsk_socket__fd(x->socket);
}

static void release_address(struct xsk *x, uint64_t address)
{
	x->free[x->n_free++] = address & ~(uint64_t)(CHUNK_SIZE - 1);
}

unsigned int xsk_receive(struct xsk *x, struct xsk_packet *packets, unsigned int max,
			 uint64_t *broken)
{
	uint32_t index, available = xsk_ring_cons__peek(&x->rx, RING_SIZE, &index);
	uint32_t taken = 0, scanned = 0;
	unsigned int n = 0;

	while (n < max && scanned < available) {
		struct xsk_packet *p = &packets[n];
		const uint32_t start = scanned;
		bool more = true;

		p->length = 0;
		p->n_frames = 0;
		while (more && scanned < available) {
			const struct xdp_desc *d =
				xsk_ring_cons__rx_desc(&x->rx, index + scanned++);

			more = d->options & XDP_PKT_CONTD;
			if (p->n_frames < XSK_MAX_FRAMES)
				p->frames[p->n_frames++] = (struct iovec){
					.iov_base = xsk_umem__get_data(x->memory, d->addr),
					.iov_len = d->len,
				};
			p->length += d->len;
		}
		if (more) /* the kernel publishes chains whole; if not, wait for the rest */
			break;
		taken = scanned;
		if (taken - start <= XSK_MAX_FRAMES) {
			n++;
			continue;
		}
		for (uint32_t i = start; i < taken; i++)
			release_address(x, xsk_ring_cons__rx_desc(&x->rx, index + i)->addr);
		++*broken;
	}
	xsk_ring_cons__cancel(&x->rx, available - taken);
	xsk_ring_cons__release(&x->rx, taken);
	return n;
}

void xsk_release(struct xsk *x, const struct xsk_packet *packet)
{
	for (uint32_t i = 0; i < packet->n_frames; i++)
		release_address(x, (uint64_t)((uint8_t *)packet->frames[i].iov_base - x->memory));
}

void xsk_refill(struct xsk *x)
{
	uint32_t index, n = x->n_free;

	if (!n)
		return;
	/* The ring has as many places as there are chunks: all that are free fit. */
	n = xsk_ring_prod__reserve(&x->fill, n, &index);
	for (uint32_t i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&x->fill, index + i) = x->free[--x->n_free];
	xsk_ring_prod__submit(&x->fill, n);
}

unsigned int xsk_frames_spare(const struct xsk *x)
{
	(void)x;
	return N_CHUNKS / SPARE_PARTS;
}

void xsk_statistics(struct xsk *x, struct xsk_statistics *fresh)
{
	struct xsk_statistics total;
	struct xdp_statistics s;
	socklen_t len = sizeof(s);

	memset(fresh, 0, sizeof(*fresh));
	memset(&s, 0, sizeof(s));
	if (getsockopt(xsk_fd(x), SOL_XDP, XDP_STATISTICS, &s, &len))
		return;
	total = (struct xsk_statistics){s.rx_dropped, s.rx_ring_full, s.rx_fill_ring_empty_descs};
	fresh->rx_dropped = total.rx_dropped - x->told.rx_dropped;
	fresh->ring_full = total.ring_full - x->told.ring_full;
	fresh->fill_empty = total.fill_empty - x->told.fill_empty;
	x->told = total;
}
