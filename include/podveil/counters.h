/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * The list of all counters and all reasons for a drop. Each line here creates the member that
 * `bpftool map dump` prints, the metric with its help text, the member of the status document, the
 * row of the page, and (with `make docs`) the line in docs/observability.md. For a new counter, add
 * a line here and raise it in the code.
 *
 *   X(member, help)
 */
#ifndef PODVEIL_COUNTERS_H
#define PODVEIL_COUNTERS_H

#include <linux/types.h>

/* Traffic that passed. */
#define PV_COUNTERS_TRAFFIC(X)                                                                     \
	X(classified, "packets stamped by classify (superpackets count once)")                     \
	X(steered, "packets handed to an AF_XDP socket by steer")                                  \
	X(unstamped, "packets that arrived in a worker without a stamp")                           \
	X(egress_superpackets, "inner packets taken from the tunnel, as the kernel handed them")   \
	X(egress_packets, "inner packets encrypted, after cutting")                                \
	X(egress_bytes, "inner bytes encrypted")                                                   \
	X(ingress_packets, "inner packets decrypted and accepted")                                 \
	X(ingress_bytes, "inner bytes decrypted and accepted")                                     \
	X(ingress_superpackets, "packets injected into the tunnel device, after joining")          \
	X(keepalives_received, "empty transport messages received")                                \
	X(wire_messages_sent, "WireGuard messages sent")                                           \
	X(wire_messages_received, "WireGuard messages received")                                   \
	X(wire_sends, "system calls that sent to the wire")                                        \
	X(wire_receives, "times messages were taken from the wire")                                \
	X(diverted, "WireGuard messages handed to AF_XDP on the uplink by divert")                 \
	X(wire_frames_sent, "WireGuard messages sent through AF_XDP on the uplink")                \
	X(wire_frames_received, "WireGuard messages received through AF_XDP on the uplink")        \
	X(injections, "system calls that injected into the tunnel device")                         \
	X(staged, "packets held until there is a session")

/* How each worker spends its time. */
#define PV_COUNTERS_WORKER(X)                                                                      \
	X(wakeups, "times a worker slept and woke")                                                \
	X(busy_ns, "nanoseconds a worker spent awake")

/* Packets that were dropped, by reason. */
#define PV_COUNTERS_DROP(X)                                                                        \
	X(drop_marked, "packet in the tunnel bears the mark of outer packets: a routing loop")     \
	X(drop_not_ip, "frame in the tunnel is neither IPv4 nor IPv6")                             \
	X(drop_malformed, "inner packet's headers contradict its length")                          \
	X(drop_no_peer, "no allowed IPs cover the destination")                                    \
	X(drop_no_endpoint, "peer has no endpoint yet")                                            \
	X(drop_no_socket, "no worker takes packets from this queue")                               \
	X(drop_stale_peer, "peer was removed between classify and worker")                         \
	X(drop_staged_full, "more staged packets than a peer may have; the oldest went")           \
	X(drop_staged_expired, "handshake attempts ended without a session")                       \
	X(drop_too_big, "inner packet larger than the path carries")                               \
	X(drop_wire_full, "the uplink's socket would not take the message")                        \
	X(drop_wire_error, "the kernel refused to send the message")                               \
	X(drop_bad_message, "datagram is no WireGuard message")                                    \
	X(drop_unknown_index, "transport message for no session of ours")                          \
	X(drop_expired_session, "transport message for a session past its limits")                 \
	X(drop_bad_tag, "transport message failed authentication")                                 \
	X(drop_replayed, "transport message's counter was seen before or is too old")              \
	X(drop_bad_inner, "decrypted content is no well-formed IP packet")                         \
	X(drop_source, "inner source address is not among the peer's allowed IPs")                 \
	X(drop_ecn, "inner packet not ECN-capable arrived congestion-marked (RFC 6040)")           \
	X(drop_inject, "the tunnel device would not take the packet")                              \
	X(drop_event_full, "handshake thread was too busy for the message")                        \
	X(drop_frame_chain, "AF_XDP frame chain was cut short")                                    \
	X(drop_wire_short, "malformed message on the WireGuard port, seen by shield")              \
	X(drop_leak, "plaintext for a remote pod at the uplink, dropped by guard")                 \
	X(drop_plain_inward, "plaintext with a pod's source address from the uplink")

/* Other events: plaintext seen, packets lost in the kernel, ICMP errors sent. */
#define PV_COUNTERS_SEEN(X)                                                                        \
	X(leaks, "plaintext packets for a remote pod that left the uplink: both kinds below")      \
	X(plain_before_encryption, "of leaks: before encryption with its node had begun")          \
	X(leaked, "of leaks: after encryption with its node had begun")                            \
	X(plain_inward, "plaintext packets from a remote pod that came in: both kinds below")      \
	X(plain_inward_before_encryption, "of plain_inward: before encryption had begun")          \
	X(leaked_inward, "of plain_inward: after encryption with its node had begun")              \
	X(xsk_rx_dropped, "packets AF_XDP dropped for want of a free frame, or for their shape")   \
	X(xsk_ring_full, "packets AF_XDP dropped: the worker was behind, its ring full")           \
	X(socket_full, "messages dropped by the kernel: the worker was behind, its socket full")   \
	X(xsk_fill_empty, "times AF_XDP wanted a free frame and there was none")                   \
	X(icmp_sent, "ICMP errors answered to senders in the tunnel")

/* Distributions of sizes. */
#define PV_HISTOGRAMS(X)                                                                           \
	X(egress_batch, "packets taken from the tunnel at a time, as the kernel handed them")      \
	X(egress_size, "bytes of a packet taken from the tunnel, as the kernel handed it")         \
	X(ingress_batch, "WireGuard messages received at a time")                                  \
	X(ingress_size, "bytes of a packet injected into the tunnel device, after joining")

/* Bucket i counts values v with 2^(i-1) < v <= 2^i. The last bucket also counts all larger
 * values. */
#define PV_BUCKETS 17

struct pv_histogram {
	__u64 sum;
	__u64 bucket[PV_BUCKETS];
};

#define PV_COUNTERS(X)                                                                             \
	PV_COUNTERS_TRAFFIC(X) PV_COUNTERS_WORKER(X) PV_COUNTERS_DROP(X) PV_COUNTERS_SEEN(X)

#define PV_FIELD(name, help)	       __u64 name;
#define PV_HISTOGRAM_FIELD(name, help) struct pv_histogram name;
struct pv_counters {
	PV_COUNTERS(PV_FIELD)
	PV_HISTOGRAMS(PV_HISTOGRAM_FIELD)
	__u64 layout; /* in slot 0 only: counters_layout() of the version that made the map */
} __attribute__((aligned(64)));
#undef PV_FIELD
#undef PV_HISTOGRAM_FIELD

/* Slots 0 to PV_MAX_WORKERS - 1: one for each worker, which alone writes it. The other slots belong
 * to processors (number modulo PV_KERNEL_SLOTS); programs in the kernel add to them atomically. The
 * total is the sum of all slots. */
#define PV_MAX_WORKERS	 8
#define PV_KERNEL_SLOTS	 8
#define PV_COUNTER_SLOTS (PV_MAX_WORKERS + PV_KERNEL_SLOTS)

/* Traffic of one peer through one worker. Bytes are bytes of whole WireGuard messages, as in `wg`.
 * Slot PV_MAX_WORKERS belongs to the handshake thread. Written with relaxed atomic adds. */
struct pv_peer_counters {
	__u64 rx_bytes;
	__u64 tx_bytes;
	__u64 rx_packets;
	__u64 tx_packets;
};
#define PV_PEER_COUNTER_SLOTS (PV_MAX_WORKERS + 1)

#endif
