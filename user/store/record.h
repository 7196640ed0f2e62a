/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record that a node publishes of itself, and its JSON form. Pure.
 *
 *   {"name": "worker", "ipv4": "172.18.0.3", "ipv6": "fd00:18::3", "podCIDRs": ["10.244.1.0/26"],
 *    "wireguardPublicKey": "base64", "wireguardPublicKeyV6": "base64",
 *    "tunnelIPv4": "10.244.1.0", "tunnelIPv6": "fd00:1::", "port": 51820, "portV6": 51821,
 *    "endpoint": "vpn.example.com:51820", "endpointV6": "[2001:db8::1]:51821"}
 *
 * Everything but the name may be absent. "wireguardEnabled": false (wireguardEnabledV6) says that
 * the node has stopped encrypting. If it is absent and there is no key, the key was lost.
 */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "store/record_endpoint.h"
#include "store/route_source.h"

#define NODE_NAME_MAX	 253 /* RFC 1123, as Kubernetes takes it */
#define RECORD_MAX_BYTES (1 << 20)
#define RECORD_MAX_CIDRS 4096

struct node_record {
	char name[NODE_NAME_MAX + 1];
	struct cidr address4, address6; /* family AF_UNSPEC: none; else /32, /128 */
	struct cidr tunnel4, tunnel6;	/* likewise; none: the first address of the first pod CIDR
					   of its family is used, unless tunnels_assigned */
	uint8_t key4[32], key6[32];	/* public keys; all zero: none */
	bool tunnels_assigned;		/* tunnel addresses are assigned by the cluster: if there is
					   none, none is derived. Not in the JSON */
	bool stopped4, stopped6;	/* the node says that it has stopped encrypting */
	uint16_t port4, port6;		/* 0: the same as ours */
	/* Where others reach the node for the tunnel of this family, if not at its own address and
	 * port. The outer packets may be of the other family. */
	struct record_endpoint endpoint4, endpoint6;
	struct cidr *pod_cidrs; /* sorted, no duplicates */
	size_t n_pod_cidrs;

	/* Only known in stores where the cluster assigns ranges (Kubernetes). Not in the JSON. */
	bool assigned;		   /* pod_cidrs were assigned to the node */
	enum route_source source;  /* of pod_cidrs; auto: the node itself */
	bool encrypts;		   /* its condition says that it encrypts, with a key or without */
	bool released4, released6; /* Felix has let go of the key: it removed it from its annotation
				      (and somebody may have put it back there) */
	struct cidr *granted; /* those of pod_cidrs that lie in a range of another node, but are
				     assigned to this one; sorted */
	size_t n_granted;
	struct cidr overlays[4]; /* VXLAN, IPIP (IPv4, then IPv6) addresses, from the node itself */
};

/* Checks a name: lower-case letters, digits, and not at the ends - and dots. NULL: it is valid;
 * else what is wrong with it. */
const char *node_name_problem(const char *name);

/* 0, or -EINVAL with what is wrong and where in `problem` ("podCIDRs[2]: \"10.0.0.0/40\" is no
 * address range"). Unknown members are ignored. A key that is empty, malformed or zero counts as no
 * key (Calico's rule) and is no error; a value of the wrong type is an error. On error there is
 * nothing to free. */
int record_parse(const char *text, size_t len, struct node_record *out, char *problem, size_t room);
/* The same for JSON that was parsed already. */
int record_from(const json_t *o, struct node_record *out, char *problem, size_t room);
/* A new reference. */
json_t *record_object(const struct node_record *r);
/* Allocated; the caller frees. NULL: no memory. Ends with a newline; the order of members is
 * fixed. */
char *record_format(const struct node_record *r);
int record_copy(struct node_record *to, const struct node_record *from);
void record_fini(struct node_record *r);
bool record_equal(const struct node_record *a, const struct node_record *b);
/* Sorts pod_cidrs and granted and removes duplicates. Call it after filling them directly. */
void record_normalise(struct node_record *r);

#endif
