/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/xsk.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/late_close.h"
#include "wire/xsk_rings.h"

/* Newer than Debian 12's headers; the values are the kernel's ABI. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif

/* 2048 chunks of 4 KiB hold 113 superpackets: more than a TCP window, which may arrive at once
 * because veth has no back-pressure. The kernel pins this memory, 8 MiB per worker.
 * docs/benchmark-notes.md ("Chunks of an AF_XDP socket") has the measurements. */
#define CHUNK_SIZE  4096u
#define N_CHUNKS    XSK_CHUNKS
#define SPARE_PARTS 4 /* a quarter may be staged */

/* For sending: four batches of a worker, so that one can be written while others are being sent. */
#define N_SENDABLE XSK_SENDABLE
/* What the kernel holds of sent frames until the device is done with them. */
#define SEND_BUFFER (8 << 20)
/* A kick takes at most 32 frames before Linux 6.17: so many in a row for what a batch makes, and
 * some more. */
#define MAX_KICKS 64

#ifndef XDP_MAX_TX_SKB_BUDGET
#define XDP_MAX_TX_SKB_BUDGET 9
#endif

/* Free chunks: a stack, because the one used last is most likely in the cache. */
struct chunks {
	unsigned int n;
	uint64_t at[N_CHUNKS];
};

struct xsk {
	int fd;
	/* The memory of the chunks is a memfd, so that the next process can map it, too. */
	int memory_fd;
	struct xsk_rings rings;
	struct late_close late;
	uint8_t *memory;
	size_t memory_size;
	struct xsk_statistics last_statistics; /* by the kernel, last */
	unsigned int queued;		       /* frames that the kernel does not know of yet */
	struct chunks free;		       /* to receive into */
	struct chunks sendable;
};

/* --- the socket and its rings --- */

static int set_option(const struct xsk *x, int name, const void *value, size_t size)
{
	return setsockopt(x->fd, SOL_XDP, name, value, (socklen_t)size) ? -errno : 0;
}

static int make_memory(struct xsk *x)
{
	const struct xdp_umem_reg area = {
		.addr = (uintptr_t)x->memory,
		.len = x->memory_size,
		.chunk_size = CHUNK_SIZE,
	};

	return set_option(x, XDP_UMEM_REG, &area, sizeof(area));
}

static int bind_socket(const struct xsk *x, const struct xsk_params *params)
{
	const struct sockaddr_xdp where = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = (uint16_t)((params->zero_copy ? XDP_ZEROCOPY : XDP_COPY) |
					 (params->chains ? XDP_USE_SG : 0) |
					 (params->sends ? XDP_USE_NEED_WAKEUP : 0)),
		.sxdp_ifindex = (uint32_t)params->ifindex,
		.sxdp_queue_id = params->queue,
	};

	return bind(x->fd, (const struct sockaddr *)&where, sizeof(where)) ? -errno : 0;
}

static int open_socket(struct xsk *x, const struct xsk_params *params)
{
	int err;

	x->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (x->fd < 0)
		return -errno;
	err = make_memory(x);
	if (!err)
		err = xsk_rings_make(x->fd, params->sends);
	if (!err)
		err = xsk_rings_map(x->fd, params->sends, &x->rings);
	if (!err)
		err = bind_socket(x, params);
	if (!err && params->sends) {
		const int size = SEND_BUFFER, budget = N_SENDABLE;

		setsockopt(x->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
		setsockopt(x->fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(budget));
		err = xsk_set_fwmark(x, params->fwmark);
	}
	return err;
}

/* --- making and freeing --- */

static struct xsk *new_xsk(void)
{
	struct xsk *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->fd = x->memory_fd = -1;
	x->late = (struct late_close)LATE_CLOSE_NONE;
	return x;
}

static int map_memory(struct xsk *x)
{
	x->memory = mmap(NULL, x->memory_size, PROT_READ | PROT_WRITE, MAP_SHARED, x->memory_fd, 0);
	if (x->memory != MAP_FAILED)
		return 0;
	x->memory = NULL;
	return -errno;
}

static void unmap(struct xsk *x)
{
	xsk_rings_unmap(&x->rings);
	if (x->memory)
		munmap(x->memory, x->memory_size);
}

int xsk_open(const struct xsk_params *params, struct xsk **out)
{
	const unsigned int n_sendable = params->sends ? N_SENDABLE : 0;
	struct xsk *x = new_xsk();
	int err;

	if (!x)
		return -ENOMEM;
	x->memory_size = (size_t)(N_CHUNKS + n_sendable) * CHUNK_SIZE;
	x->memory_fd = memfd_create("podveil-packets", MFD_CLOEXEC);
	if (x->memory_fd < 0 || ftruncate(x->memory_fd, (off_t)x->memory_size)) {
		err = -errno;
		goto fail;
	}
	err = map_memory(x);
	if (!err)
		err = open_socket(x, params);
	if (err)
		goto fail;
	late_close_begin(&x->late, x->fd);
	for (unsigned int i = 0; i < N_CHUNKS; i++)
		x->free.at[x->free.n++] = (uint64_t)(N_CHUNKS - 1 - i) * CHUNK_SIZE;
	for (unsigned int i = 0; i < n_sendable; i++)
		x->sendable.at[x->sendable.n++] = (uint64_t)(N_CHUNKS + i) * CHUNK_SIZE;
	xsk_refill(x);
	*out = x;
	return 0;
fail:
	xsk_close(x);
	return err;
}

static bool is_xdp_socket(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) && domain == AF_XDP;
}

_Static_assert(N_SENDABLE == XSK_MAX_SENDABLE, "all frames to send fit the list");

/* False: one is no frame to send, or is there twice. */
static bool take_sendable(struct xsk *x, const struct xsk_handed *handed)
{
	bool there[N_SENDABLE] = {false};

	if (handed->n_sendable > (handed->sends ? N_SENDABLE : 0))
		return false;
	for (uint32_t i = 0; i < handed->n_sendable; i++) {
		const uint64_t at = handed->sendable[i], k = at / CHUNK_SIZE - N_CHUNKS;

		if (at % CHUNK_SIZE || k >= N_SENDABLE || there[k])
			return false;
		there[k] = true;
		x->sendable.at[x->sendable.n++] = at;
	}
	return true;
}

int xsk_adopt(const struct xsk_handed *handed, struct xsk **out)
{
	struct xsk *x = new_xsk();
	struct stat memory;
	int err = -EINVAL;

	if (!x)
		return -ENOMEM;
	x->fd = handed->fd;
	x->memory_fd = handed->memory_fd;
	x->memory_size = (size_t)(N_CHUNKS + (handed->sends ? N_SENDABLE : 0)) * CHUNK_SIZE;
	if (is_xdp_socket(x->fd) && !fstat(x->memory_fd, &memory) &&
	    memory.st_size == (off_t)x->memory_size && take_sendable(x, handed))
		err = map_memory(x);
	if (!err)
		err = xsk_rings_map(x->fd, handed->sends, &x->rings);
	if (err) {
		unmap(x); /* the descriptors stay the caller's */
		free(x);
		return err;
	}
	late_close_begin(&x->late, x->fd);
	*out = x;
	return 0;
}

void xsk_hand(struct xsk *x, struct xsk_handed *out)
{
	xsk_refill(x);
	out->fd = x->fd;
	out->memory_fd = x->memory_fd;
	out->sends = x->rings.mapped[XSK_TX].at;
	out->n_sendable = x->sendable.n;
	memcpy(out->sendable, x->sendable.at, x->sendable.n * sizeof(*out->sendable));
}

void xsk_close(struct xsk *x)
{
	if (!x)
		return;
	late_close_end(&x->late);
	if (x->fd >= 0)
		close(x->fd);
	if (x->memory) /* inner packets lay here */
		explicit_bzero(x->memory, x->memory_size);
	unmap(x);
	if (x->memory_fd >= 0)
		close(x->memory_fd);
	free(x);
}

int xsk_fd(const struct xsk *x)
{
	return x->fd;
}

uint64_t xsk_offset(const struct xsk *x, const void *at)
{
	return (uint64_t)((const uint8_t *)at - x->memory);
}

bool xsk_packet_at(const struct xsk *x, const uint64_t *offsets, const uint32_t *lengths,
		   uint32_t n, struct xsk_packet *out)
{
	out->length = 0;
	out->n_frames = n;
	if (!n || n > XSK_MAX_FRAMES)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		const uint64_t begin = offsets[i] & ~(uint64_t)(CHUNK_SIZE - 1);

		if (offsets[i] >= x->memory_size || lengths[i] > begin + CHUNK_SIZE - offsets[i])
			return false;
		out->frames[i] = (struct iovec){x->memory + offsets[i], lengths[i]};
		out->length += lengths[i];
	}
	return true;
}

static void release_address(struct xsk *x, uint64_t address)
{
	x->free.at[x->free.n++] = address & ~(uint64_t)(CHUNK_SIZE - 1);
}

unsigned int xsk_receive(struct xsk *x, struct xsk_packet *packets, unsigned int max,
			 uint64_t *broken)
{
	uint32_t index, available = xsk_ring_cons__peek(&x->rings.rx, XSK_RX_RING, &index);
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
				xsk_ring_cons__rx_desc(&x->rings.rx, index + scanned++);

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
			release_address(x, xsk_ring_cons__rx_desc(&x->rings.rx, index + i)->addr);
		++*broken;
	}
	xsk_ring_cons__cancel(&x->rings.rx, available - taken);
	xsk_ring_cons__release(&x->rings.rx, taken);
	return n;
}

void xsk_release(struct xsk *x, const struct xsk_packet *packet)
{
	for (uint32_t i = 0; i < packet->n_frames; i++)
		release_address(x, (uint64_t)((uint8_t *)packet->frames[i].iov_base - x->memory));
}

void xsk_refill(struct xsk *x)
{
	uint32_t index, n = x->free.n;

	if (n) {
		/* The ring has as many places as there are chunks: all that are free fit. */
		n = xsk_ring_prod__reserve(&x->rings.fill, n, &index);
		for (uint32_t i = 0; i < n; i++)
			*xsk_ring_prod__fill_addr(&x->rings.fill, index + i) =
				x->free.at[--x->free.n];
		xsk_ring_prod__submit(&x->rings.fill, n);
	}
	/* A driver that ran out of frames waits to be told that there are some. */
	if (xsk_ring_prod__needs_wakeup(&x->rings.fill))
		recv(xsk_fd(x), &index, 0, MSG_DONTWAIT);
}

/* --- frames --- */

unsigned int xsk_receive_frames(struct xsk *x, struct iovec *frames, unsigned int max)
{
	uint32_t index, n = xsk_ring_cons__peek(&x->rings.rx, max, &index);

	for (uint32_t i = 0; i < n; i++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&x->rings.rx, index + i);

		frames[i] = (struct iovec){xsk_umem__get_data(x->memory, d->addr), d->len};
	}
	xsk_ring_cons__release(&x->rings.rx, n);
	return n;
}

void xsk_release_frames(struct xsk *x, const struct iovec *frames, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		release_address(x, (uint64_t)((uint8_t *)frames[i].iov_base - x->memory));
}

bool xsk_waiting(const struct xsk *x)
{
	return __atomic_load_n(x->rings.rx.producer, __ATOMIC_ACQUIRE) !=
	       __atomic_load_n(x->rings.rx.consumer, __ATOMIC_ACQUIRE);
}

unsigned int xsk_available_frames(struct xsk *x)
{
	uint32_t index, n;

	/* The frames of the last batch have been sent by now. If this is called more rarely, they
	 * fall out of the cache. */
	n = xsk_ring_cons__peek(&x->rings.completion, N_SENDABLE, &index);
	for (uint32_t i = 0; i < n; i++)
		x->sendable.at[x->sendable.n++] =
			*xsk_ring_cons__comp_addr(&x->rings.completion, index + i);
	xsk_ring_cons__release(&x->rings.completion, n);
	return x->sendable.n;
}

uint8_t *xsk_frame(struct xsk *x)
{
	return xsk_umem__get_data(x->memory, x->sendable.at[--x->sendable.n]);
}

void xsk_queue(struct xsk *x, const uint8_t *frame, uint32_t length)
{
	uint32_t index = 0;

	/* The ring has a place for each frame there is. */
	xsk_ring_prod__reserve(&x->rings.tx, 1, &index);
	*xsk_ring_prod__tx_desc(&x->rings.tx, index) =
		(struct xdp_desc){.addr = (uint64_t)(frame - x->memory), .len = length};
	x->queued++;
}

unsigned int xsk_flush(struct xsk *x, bool *all)
{
	uint32_t done = __atomic_load_n(x->rings.tx.consumer, __ATOMIC_ACQUIRE), before;
	unsigned int calls = 0;

	xsk_ring_prod__submit(&x->rings.tx, x->queued);
	x->queued = 0;
	/* If the driver does not ask for a wakeup, it takes the frames by itself. */
	while (done != *x->rings.tx.producer && xsk_ring_prod__needs_wakeup(&x->rings.tx) &&
	       calls < MAX_KICKS) {
		before = done;
		send(xsk_fd(x), "", 0, MSG_DONTWAIT);
		calls++;
		done = __atomic_load_n(x->rings.tx.consumer, __ATOMIC_ACQUIRE);
		if (done == before)
			break;
	}
	*all = done == *x->rings.tx.producer || !xsk_ring_prod__needs_wakeup(&x->rings.tx);
	return calls;
}

unsigned int xsk_spare_frames(void)
{
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
	fresh->rx_dropped = total.rx_dropped - x->last_statistics.rx_dropped;
	fresh->ring_full = total.ring_full - x->last_statistics.ring_full;
	fresh->fill_empty = total.fill_empty - x->last_statistics.fill_empty;
	x->last_statistics = total;
}

int xsk_set_fwmark(struct xsk *x, uint32_t fwmark)
{
	const int value = (int)fwmark;

	if (setsockopt(xsk_fd(x), SOL_SOCKET, SO_MARK, &value, sizeof(value)) && fwmark)
		return -errno;
	return 0;
}
