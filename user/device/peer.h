/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device and its peers from the inside. Internal to the folder.
 *
 * Who may use what: only the control thread uses allowed IPs. Only the control thread changes the
 * identity and the set of peers. It does so under the lock, because the handshake thread reads
 * them; the control thread itself may read them without the lock. The lock guards everything else,
 * except what remote.h gives to the workers. Holding the lock delays handshakes: never hold it
 * during a loop whose length users choose.
 *
 * Lock and RCU: both threads that take the lock are registered with RCU, and offline while they
 * wait for the lock or sleep. So the holder of the lock may wait for a grace period.
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

/* An initiation of ours that was not answered yet, in the table `by_index`. Each initiation gets a
 * new struct, which is freed after a grace period, so that no thread has to wait for one. */
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
	uint64_t sessions;		/* established so far */
	uint64_t last_sent_handshake;	/* monotonic ns; 0: never */
	uint16_t keepalive;		/* seconds */

	struct pending *pending; /* NULL: no initiation is under way */
	bool handshake_wanted;	 /* start a handshake when the device goes up */
	bool attention;		 /* it is in the device's list `attention` */
	bool removed;
	struct event *timer; /* handshake thread only; made on first use */
	struct cds_lfht_node by_key;
	TAILQ_ENTRY(peer) list, attention_entry, removal;
};

TAILQ_HEAD(peer_list, peer);

struct device {
	struct device_params params;
	char name[IF_NAMESIZE], inner_name[IF_NAMESIZE];
	char served_name[IF_NAMESIZE]; /* of lock and pins */
	int tunnel_ifindex, inner_ifindex;
	/* The tunnel device is in another network namespace, and notifications may not reach us. */
	bool in_other_namespace;
	struct event *recheck_event;
	uint8_t mac[6]; /* of the tunnel device */
	int lock_file;
	uint32_t mtu;
	unsigned int workers;
	unsigned int queues; /* of the inner end */
	/* The most workers that it can have. If there are twice as many queues, only one half is
	 * used: after a process was killed the kernel may still hold the half that it used, and the
	 * next process takes the other half. */
	unsigned int room;
	bool superpackets;
	bool adopted; /* the pair was there before us; it stays if we fail to start */
	bool ending;
	struct link_watch *watch;
	struct event *watch_event;
	int session_news; /* eventfd, written by the handshake thread; -1: no callback is set */
	struct event *session_event;
	struct programs *programs;
	struct allowed_ips *allowed_ips;
	/* While a device is taken over with the maps of the process before: they have its peers
	 * already. */
	bool maps_are_filled;
	size_t n_allowed;
	struct datapath *datapath;
	struct handshaker *handshaker;

	pthread_mutex_t lock;
	bool up;
	enum wire_mode wire; /* as set */
	int wire_ifindex;    /* the uplink; 0: by params.uplink, or by the first peer */
	struct latency latency;
	struct uplink *uplink; /* handshake thread, under the lock */
	int listen_error;      /* of the last attempt to go up */
	uint64_t version;      /* how often the device was configured */
	struct noise_identity identity;
	struct cookie_checker checker;
	uint16_t listen_port; /* as set; 0: the first listen chooses one and stores it here */
	uint32_t fwmark;
	struct peer_list peers; /* oldest first, as `wg` shows them */
	size_t n_peers;
	struct cds_lfht *by_key, *by_index;
	uint8_t hash_key[16];
	struct peer **slots;
	uint16_t *generations;
	uint32_t n_slots;
	bool holes;		    /* a slot below the last used one may be free */
	struct peer_list attention; /* for the handshake thread: run their timers */
	struct peer_list removals;  /* removed peers; the handshake thread frees them */

	_Atomic uint64_t handshakes[HANDSHAKE_COUNTS];
};

/* Registered threads only; see above. Returns the current time (clock.h). Use this time, or read
 * the clock under the lock. A time that was read before taking the lock may be older than the times
 * that another thread stored meanwhile. */
uint64_t device_lock(struct device *d);
void device_unlock(struct device *d);

static inline void device_count(struct device *d, enum handshake_count what)
{
	atomic_fetch_add_explicit(&d->handshakes[what], 1, memory_order_relaxed);
}

/* --- device.c --- */

/* Takes the lock of this name and releases the old one. -EWOULDBLOCK: another process has it. */
int device_take_name(struct device *d, const char *name);

/* --- tunnel_pair.c --- */

/* Sets the name of the inner end, from params or from the device's name. */
void device_name_inner_end(struct device *d);
/* Makes the tunnel device with its inner end, or takes them over from a dead process if params
 * allow it. 0 or -errno. */
int device_make_pair(struct device *d);

/* --- link_changes.c --- */

/* Starts to follow changes of the tunnel device, and applies those made until now. */
int device_watch_link(struct device *d);
void device_unwatch_link(struct device *d);
/* The device goes up or down with the carrier of the inner end. The inner end has carrier while
 * both ends are up, in whatever network namespace the tunnel device is. */
void device_set_carrier(struct device *d, bool carrier);
/* Without superpackets a packet has to fit into one AF_XDP frame. Logs a warning if it may not. */
void device_check_mtu(const struct device *d);

/* --- configure.c --- */

/* Writes the settings that the programs need (mark, port, queues) to their map. */
int device_publish_settings(struct device *d);

/* --- peer.c --- */

struct peer *peer_find(struct device *d, const uint8_t public_key[KEY_SIZE]);
struct peer *peer_find_slot(struct device *d, uint32_t slot, uint16_t generation);
/* The peer to which we sent an initiation with this index. */
struct peer *peer_find_pending(struct device *d, uint32_t index);
/* Makes a peer that is not in the device's tables yet. `identity` is our own. NULL: no memory. */
struct peer *peer_new(struct device *d, const struct noise_identity *identity,
		      const uint8_t public_key[KEY_SIZE], const uint8_t preshared_key[KEY_SIZE]);
void peer_free(struct peer *p);
/* The same without its handshake: the caller sets static_static and preshared_key. */
struct peer *peer_new_bare(struct device *d, const uint8_t public_key[KEY_SIZE]);
/* Makes room for n_peers peers. 0 or -errno. */
int peers_reserve(struct device *d, size_t n_peers);
/* Puts it into the device's tables, in a slot that was reserved. */
void peer_publish(struct peer *p);
/* The same in a given slot with a given generation, which both were free. */
void peer_publish_at(struct peer *p, uint32_t slot, uint16_t generation);
/* Removes it from all tables; the handshake thread frees it after a grace period. Control thread,
 * without the lock. */
void peer_withdraw(struct peer *p);
/* Writes the peer's entry in the BPF map `peers`. */
void peer_update_map(struct peer *p);
/* Allowed IPs: control thread, the lock is not needed. 0 or -errno. */
int peer_allow(struct peer *p, const struct cidr *cidr);
void peer_disallow(struct peer *p, const struct cidr *cidr);
/* Removes all allowed IPs with a lower number (allowed_ips.h). */
void peer_disallow_older(struct peer *p, uint64_t number);
/* Chooses a random unused local index for a new initiation. 0 or -ENOMEM. */
int peer_pending_begin(struct peer *p);
/* The same with an index that nobody uses. */
int peer_pending_begin_as(struct peer *p, uint32_t index);
void peer_pending_end(struct peer *p);
/* Puts it into the list `attention` and wakes the handshake thread. */
void peer_request_attention(struct peer *p);

/* A session was established: calls params.sessions on the control thread. */
void device_session_news(struct device *d);

/* --- transfer.c --- */

/* Another process knows all of the peer's secrets and has failed. Leaves counters to it, and forgets the handshake
 * under way: if the answer to it came twice, both would send with the same keys. `sessions_lost`: the
 * other process may have received with the sessions, so they are forgotten, too. */
void peer_go_on(struct peer *p, bool sessions_lost);

/* --- session.c --- */

/* Installs the keys of a finished handshake. Whitepaper 6.3 says who may send with them, and when.
 * 0 or -errno. */
int session_install(struct peer *p, const struct noise_keys *keys, uint64_t now);
/* The first message came in on keypair `index`, so it becomes the current one. False: it was
 * replaced or removed meanwhile. */
bool session_confirm(struct peer *p, uint32_t index);
/* Forgets all keypairs and the handshake under way. */
void session_clear(struct peer *p);
/* Chooses an unused local index for a responder's keypair. */
uint32_t session_index(struct device *d);

#endif
