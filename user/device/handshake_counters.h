/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The results of handshakes and their causes: names and help texts of the metrics.
 *
 *   X(identifier, result, cause, help)
 */
#ifndef DEVICE_HANDSHAKE_COUNTERS_H
#define DEVICE_HANDSHAKE_COUNTERS_H

#define HANDSHAKE_COUNTERS(X)                                                                      \
	X(STARTED_TRAFFIC, "started", "traffic", "packets wait, or the session grew old in use")   \
	X(STARTED_TIMER, "started", "timer", "nothing came back over the session for 15 s")        \
	X(STARTED_RETRY, "started", "retry", "the initiation before was not answered")             \
	X(STARTED_KEEPALIVE, "started", "keepalive", "a keepalive was due and no session stood")   \
	X(STARTED_OWNER, "started", "owner", "the agent asked, or the device went up")             \
	X(FINISHED_INITIATOR, "finished", "initiator", "our initiation led to a session")          \
	X(FINISHED_RESPONDER, "finished", "responder", "the peer's initiation did")                \
	X(FAILED_MAC1, "failed", "mac1", "message was made without our public key")                \
	X(FAILED_AUTHENTICATION, "failed", "authentication", "message cannot be opened")           \
	X(FAILED_UNKNOWN_PEER, "failed", "unknown_peer", "initiator's key is no peer's")           \
	X(FAILED_REPLAY, "failed", "replay", "initiation is not newer than the last, or too soon") \
	X(FAILED_UNEXPECTED, "failed", "unexpected", "response to no initiation under way")        \
	X(FAILED_NO_ANSWER, "failed", "no_answer", "given up after 90 s of attempts")              \
	X(FAILED_RESOURCES, "failed", "resources", "no memory for a session")                      \
	X(RATE_LIMITED, "rate_limited", "source", "under load, too many from one address")         \
	X(COOKIE_SENT, "cookie", "sent", "under load, the sender was asked to prove its address")  \
	X(COOKIE_RECEIVED, "cookie", "received", "a peer under load asked us to")

#define HANDSHAKE_ID(identifier, result, cause, help) HANDSHAKE_##identifier,
enum handshake_count { HANDSHAKE_COUNTERS(HANDSHAKE_ID) HANDSHAKE_COUNTS };
#undef HANDSHAKE_ID

#endif
