/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Under load (whitepaper 5.3): when a device is, and whose messages it looks at then.
 *
 * It is under load while many messages wait, and while many of those that it looked at led to
 * nothing, however fast they were dealt with: each costs an X25519, and a flood is no reason to spend
 * half a processor on it.
 *
 * Under load a sender has to show by a cookie that it is where it says. That costs an honest peer
 * Rekey-Timeout, 5 s (whitepaper 6.6), so senders get a few messages through without one: each as many
 * as with a cookie, all together as many as cost a quarter of a processor. A flood from a few
 * addresses then delays nobody else; where addresses are forged, cookies are what is left.
 *
 * Pure: time is passed in, monotonic ns. One thread.
 */
#ifndef PROTOCOL_ADMISSION_H
#define PROTOCOL_ADMISSION_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* The kernel's numbers. */
#define LOAD_THRESHOLD	512	     /* messages that wait */
#define LOAD_HYSTERESIS NSEC_PER_SEC /* it lasts so much longer than its reason */
/* Messages that led to nothing: so many a second, and so many at once, are no load. */
#define WASTE_PER_SECOND 500
#define WASTE_BURST	 500
/* Messages of unproven senders that are looked at under load, all together. */
#define UNPROVEN_PER_SECOND 4000
#define UNPROVEN_BURST	    400

struct admission;

/* NULL: no memory. */
struct admission *admission_new(void);
void admission_free(struct admission *a);

/* Is the device under load, while so many messages wait? */
bool admission_under_load(struct admission *a, unsigned int waiting, uint64_t now);
/* A message led to nothing, or was answered by a cookie. */
void admission_wasted(struct admission *a, uint64_t now);
/* Under load: may the message be looked at, of a sender that has shown where it is, or of one that
 * has not? Where it may, that is counted. */
bool admission_proven(struct admission *a, const struct sockaddr *source, uint64_t now);
bool admission_unproven(struct admission *a, const struct sockaddr *source, uint64_t now);

#endif
