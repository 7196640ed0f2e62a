/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The results of handshakes and their causes: names and help texts of the metrics.
 *
 *   X(identifier, result, cause, help)
 */
#ifndef DEVICE_HANDSHAKE_COUNTERS_H
#define DEVICE_HANDSHAKE_COUNTERS_H

#define HANDSHAKE_COUNTERS(X)                                                                      \
	X(STARTED_TRAFFIC, "started", "traffic",                                                   \
	  "packets wait, or the session became old while in use")                                  \
	X(STARTED_TIMER, "started", "timer", "nothing came back over the session for 15 s")        \
	X(STARTED_RETRY, "started", "retry", "the last initiation was not answered")               \
	X(STARTED_KEEPALIVE, "started", "keepalive",                                               \
	  "a keepalive was due and there was no session")                                          \
	X(STARTED_OWNER, "started", "owner", "the agent asked for it, or the device went up")      \
	X(FINISHED_INITIATOR, "finished", "initiator", "our initiation led to a session")          \
	X(FINISHED_RESPONDER, "finished", "responder", "the peer's initiation led to a session")   \
	X(FAILED_MAC1, "failed", "mac1",                                                           \
	  "the message was made without our public key (wrong mac1)")                              \
	X(FAILED_AUTHENTICATION, "failed", "authentication", "the message cannot be decrypted")    \
	X(FAILED_UNKNOWN_PEER, "failed", "unknown_peer", "the initiator's key belongs to no peer") \
	X(FAILED_REPLAY, "failed", "replay",                                                       \
	  "the initiation is not newer than the last one, or came too soon")                       \
	X(FAILED_UNEXPECTED, "failed", "unexpected",                                               \
	  "the response belongs to no current initiation")                                         \
	X(FAILED_NO_ANSWER, "failed", "no_answer", "no answer within 90 s")                        \
	X(FAILED_RESOURCES, "failed", "resources", "no memory for a session")                      \
	X(RATE_LIMITED, "rate_limited", "source",                                                  \
	  "under load: too many messages from one address")                                        \
	X(COOKIE_SENT, "cookie", "sent", "under load: the sender must prove its address")          \
	X(COOKIE_RECEIVED, "cookie", "received", "a peer under load asked us to prove our address")

#define HANDSHAKE_ID(identifier, result, cause, help) HANDSHAKE_##identifier,
enum handshake_count { HANDSHAKE_COUNTERS(HANDSHAKE_ID) HANDSHAKE_COUNTS };
#undef HANDSHAKE_ID

#endif
