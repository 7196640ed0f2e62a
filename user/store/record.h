/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node publishes of itself, and its JSON form. Pure.
 *
 *   {"name": "worker", "ipv4": "172.18.0.3", "ipv6": "fd00:18::3", "podCIDRs": ["10.244.1.0/26"],
 *    "wireguardPublicKey": "base64", "wireguardPublicKeyV6": "base64",
 *    "tunnelIPv4": "10.244.1.0", "tunnelIPv6": "fd00:1::", "port": 51820, "portV6": 51821}
 *
 * Everything but the name may be absent. "wireguardEnabled": false (wireguardEnabledV6) says that
 * the node encrypts no more: without it, a key that is missing is one that got lost.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"

#define NODE_NAME_MAX	 253 /* RFC 1123, as Kubernetes takes it */
#define RECORD_MAX_BYTES (1 << 20)
#define RECORD_MAX_CIDRS 4096

struct node_record {
	char name[NODE_NAME_MAX + 1];
	struct cidr address4, address6; /* family AF_UNSPEC: none; else /32, /128 */
	struct cidr tunnel4, tunnel6;	/* likewise: assigned by somebody; else the first address of
					   the first pod CIDR of its family */
	uint8_t key4[32], key6[32];	/* all zero: none; of the tunnels for IPv4 and IPv6 pods */
	bool tunnels_assigned;		/* whoever assigns addresses assigns those of tunnels, too:
					   where there is none, none is worked out. Not in the JSON */
	bool stopped4, stopped6;	/* it says that it encrypts no more */
	uint16_t port4, port6;		/* 0: as everybody's */
	struct cidr *pod_cidrs;		/* sorted, no duplicates */
	size_t n_pod_cidrs;

	/* What a store knows that has somebody above the nodes (Kubernetes). Not in the JSON. */
	bool assigned;	      /* pod_cidrs were given to the node, which did not choose them */
	bool encrypts;	      /* its condition says that it encrypts, with a key or without */
	struct cidr *granted; /* those of pod_cidrs that lie in ranges of other nodes, and that
				     the owner of the wider range gave to this one; sorted */
	size_t n_granted;
	struct cidr overlays[4]; /* VXLAN, IPIP (IPv4, then IPv6): what the node says of itself */
};

/* Lower-case letters, digits, - and ., not first nor last: NULL, or what is wrong with it. */
const char *node_name_problem(const char *name);

/* 0, or -EINVAL with what is wrong and where in `problem` ("podCIDRs[2]: \"10.0.0.0/40\" is no
 * address range"). Unknown members are ignored. A key that is empty, unparsable or zero is no key
 * (Calico's rule), not an error; but a value of the wrong type is one. Nothing to free unless 0. */
int record_parse(const char *text, size_t len, struct node_record *out, char *problem, size_t room);
/* The same of what was parsed already. */
int record_from(const json_t *o, struct node_record *out, char *problem, size_t room);
/* A new reference. */
json_t *record_object(const struct node_record *r);
/* Allocated; the caller frees. NULL: no memory. Ends with a newline; stable order of members. */
char *record_format(const struct node_record *r);
int record_copy(struct node_record *to, const struct node_record *from);
void record_fini(struct node_record *r);
bool record_equal(const struct node_record *a, const struct node_record *b);
/* Sorts and removes duplicates after pod_cidrs and granted were filled by hand. */
void record_normalise(struct node_record *r);

#endif
