/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device and its peers from the inside. Internal to the folder.
 *
 * What is whose: allowed IPs are the control thread's alone. The control thread alone changes the
 * identity, and which peers there are, and does it under the lock, since the handshake thread looks
 * at them: so it may look without. Everything else lies under the lock, but what remote.h gives to
 * the workers. Whoever holds the lock holds up handshakes: never for a loop that users size.
 *
 * Lock and RCU: both threads that take the lock are registered with RCU and offline while they wait
 * for it or sleep, so that whoever holds it may wait for a grace period.
 */
#ifndef DEVICE_PEER_H
#define DEVICE_PEER_H

#include <event2/event.h>
#include <pthread.h>
#include <sys/queue.h>

#include "datapath/datapath.h"
#include "device/device.h"
#include "device/handshake.h"
#include "device/uplink.h"
#include "programs/loader.h"
#include "protocol/cookie.h"
#include "protocol/noise.h"

/* An initiation of ours under way, by its index. Never used twice: the table resizes itself on a thread
 * of its own, and nobody who starts or ends a handshake shall wait for that. */
struct pending {
	uint32_t index;
	struct peer *peer;
	struct cds_lfht_node node;
	struct rcu_head rcu;
};

struct peer {
	struct remote remote;
	struct device *device;
	uint8_t public_key[KEY_SIZE];
	struct noise_handshake handshake;
	struct cookie_jar jar;
	struct timespec last_handshake; /* Unix time */
	uint64_t sessions;		/* that were agreed on */
	uint64_t last_sent_handshake;	/* monotonic ns; 0: never */
	uint16_t keepalive;		/* seconds */

	struct pending *pending; /* NULL: none is under way */
	bool handshake_wanted;	 /* as soon as the device is up */
	bool attention;		 /* is in the device's list of peers to look at */
	bool removed;
	struct event *timer; /* the handshake thread's; made on first use */
	struct cds_lfht_node by_key;
	TAILQ_ENTRY(peer) list, attention_entry, removal;
};

TAILQ_HEAD(peer_list, peer);

struct device {
	struct device_params params;
	char name[IF_NAMESIZE], inner_name[IF_NAMESIZE];
	char served_name[IF_NAMESIZE]; /* of lock and pins */
	int tunnel_ifindex, inner_ifindex;
	/* The tunnel device is in another network namespace, whose news may not reach us. */
	bool in_other_namespace;
	struct event *recheck_event;
	uint8_t mac[6]; /* of the tunnel device */
	int lock_file;
	uint32_t mtu;
	unsigned int workers;
	unsigned int queues; /* of the inner end */
	/* The most workers that it can have. Where queues are twice as many, the second half is for
	 * who starts while a process that was killed still has the first, and the other way round. */
	unsigned int room;
	bool superpackets;
	bool adopted; /* the pair was there before us, and stays where we fail to start */
	bool ending;
	struct link_watch *watch;
	struct event *watch_event;
	int session_news; /* eventfd, written by the handshake thread; -1: nobody wants to know */
	struct event *session_event;
	struct programs *programs;
	struct allowed_ips *allowed_ips;
	size_t n_allowed;
	struct datapath *datapath;
	struct handshaker *handshaker;

	pthread_mutex_t lock;
	bool up;
	enum wire_mode wire; /* wanted */
	int wire_ifindex;    /* the uplink; 0: the first peer's */
	struct latency latency;
	struct uplink *uplink; /* the handshake thread's */
	int listen_error;      /* of the last attempt to go up */
	uint64_t version;      /* how often configured */
	struct noise_identity identity;
	struct cookie_checker checker;
	uint16_t listen_port; /* wanted; 0 until the first listen chose one */
	uint32_t fwmark;
	struct peer_list peers; /* in the order of their making, as `wg` shows them */
	size_t n_peers;
	struct cds_lfht *by_key, *by_index;
	uint8_t hash_key[16];
	struct peer **slots;
	uint16_t *generations;
	uint32_t n_slots;
	bool holes;		    /* a slot below the last one used may be free */
	struct peer_list attention; /* for the handshake thread: timers or settings changed */
	struct peer_list removals;  /* unreachable; the handshake thread frees them */

	_Atomic uint64_t handshakes[HANDSHAKE_COUNTS];
};

/* Registered threads only; see above. Returns the time (clock.h): whoever works with what the lock
 * guards takes it from here, or reads the clock under the lock. A time that was read before, while
 * another thread had the lock, lies before what that one did. */
uint64_t device_lock(struct device *d);
void device_unlock(struct device *d);

static inline void device_count(struct device *d, enum handshake_count what)
{
	atomic_fetch_add_explicit(&d->handshakes[what], 1, memory_order_relaxed);
}

/* --- device.c --- */

/* From now on served under this name, if nobody else is: -EWOULDBLOCK. */
int device_take_name(struct device *d, const char *name);

/* --- link_changes.c --- */

/* Learns from now on what becomes of the tunnel device, and what has become of it until now. */
int device_watch_link(struct device *d);
void device_unwatch_link(struct device *d);
/* The inner end has carrier while both ends are up, wherever the tunnel device is. */
void device_set_carrier(struct device *d, bool carrier);
/* A packet has to fit into one AF_XDP frame where they do not come as chains. */
void device_check_mtu(const struct device *d);

/* --- configure.c --- */

/* The programs follow mark and port. */
int device_publish_settings(struct device *d);

/* --- peer.c --- */

struct peer *peer_find(struct device *d, const uint8_t public_key[KEY_SIZE]);
struct peer *peer_find_slot(struct device *d, uint32_t slot, uint16_t generation);
/* The peer whose initiation of ours bears this index. */
struct peer *peer_find_pending(struct device *d, uint32_t index);
/* Makes a peer that nobody can see yet, with a handshake of `identity`. NULL: no memory. */
struct peer *peer_new(struct device *d, const struct noise_identity *identity,
		      const uint8_t public_key[KEY_SIZE], const uint8_t preshared_key[KEY_SIZE]);
void peer_free(struct peer *p);
/* Room for so many peers. 0 or -errno. */
int peers_reserve(struct device *d, size_t n_peers);
/* Makes it visible, in a slot that was reserved. */
void peer_publish(struct peer *p);
/* Takes it away from everybody; the handshake thread frees it after a grace period. Control thread,
 * without the lock. */
void peer_withdraw(struct peer *p);
/* The `peers` map follows. */
void peer_update_map(struct peer *p);
/* Allowed IPs: control thread, the lock is not needed. */
int peer_allow(struct peer *p, const struct cidr *cidr);
void peer_disallow(struct peer *p, const struct cidr *cidr);
/* All with a lower number (allowed_ips.h). */
void peer_disallow_older(struct peer *p, uint64_t number);
/* A random local index that nobody uses, for the initiation under way. */
int peer_pending_begin(struct peer *p); /* 0 or -ENOMEM */
void peer_pending_end(struct peer *p);
/* The handshake thread should look at it (and wakes). */
void peer_request_attention(struct peer *p);

/* A session came to stand: the owner is told on its own thread. */
void device_session_news(struct device *d);

/* --- session.c --- */

/* Keys of a finished handshake: whitepaper 6.3 says who may send with them, and when. 0 or -errno.
 */
int session_install(struct peer *p, const struct noise_keys *keys, uint64_t now);
/* The first message came in on keypair `index`: it is current from now on. False where it was
 * replaced or forgotten since. */
bool session_confirm(struct peer *p, uint32_t index);
/* Forgets all keypairs and the handshake under way. */
void session_clear(struct peer *p);
/* Index for the responder's keypair. */
uint32_t session_index(struct device *d);

#endif
