/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares what `podveil verify` captures with what the agent reports about peers and their pods.
 * Counts the WireGuard messages of each peer, and unencrypted packets of remote pods.
 */
#ifndef CLI_VERIFY_EVIDENCE_H
#define CLI_VERIFY_EVIDENCE_H

#include <jansson.h>

#include "cli/verify/wiretap.h"
#include "packet/dissect.h"

#define EVIDENCE_EXAMPLES 5
#define EVIDENCE_MARKER	  32 /* bytes of a probe's marker */

struct evidence_traffic {
	uint64_t data, bytes; /* messages with content; bytes of all messages */
	uint64_t others;      /* handshakes, cookies, keepalives */
};

struct evidence_node {
	char *name;
	bool peer;		  /* it has a key; else traffic with it is unencrypted */
	struct cidr endpoints[2]; /* of the tunnels for IPv4 and IPv6 pods; AF_UNSPEC: none */
	struct cidr tunnel[2];	  /* address of its tunnel device */
	struct evidence_traffic sent, received;
	uint64_t plain; /* unencrypted packets of its pods */
};

struct evidence_example {
	const struct evidence_node *node;
	struct dissected_layer layer;
	bool outgoing;
};

struct evidence {
	struct evidence_node *nodes; /* sorted by name */
	size_t n_nodes;
	struct evidence_range {
		struct cidr cidr;
		size_t node;
		bool host; /* a node's own address, with host encryption */
	} * ranges;	   /* sorted, each once */
	size_t n_ranges;
	uint8_t lengths[2][129]; /* the prefix lengths that occur, by family */
	struct evidence_endpoint {
		struct cidr address;
		size_t node;
	} * endpoints; /* sorted */
	size_t n_endpoints;
	struct dissect_ports ports;
	const struct evidence_node *only; /* check only this node; NULL: all nodes */
	uint8_t marker[EVIDENCE_MARKER];
	bool marked; /* the marker is searched for */
	uint64_t frames, plain, marker_seen;
	struct evidence_example examples[EVIDENCE_EXAMPLES];
	unsigned int n_examples;
};

/* Reads a status document. 0, -ENOMEM, or -EPROTO: it is not one. */
int evidence_new(const json_t *status, struct evidence **out);
void evidence_free(struct evidence *e);
struct evidence_node *evidence_find(const struct evidence *e, const char *name);
/* Adds a captured frame. */
void evidence_add(struct evidence *e, const struct wiretap_frame *f);
/* The number of messages with content, in both directions, of the checked nodes. */
uint64_t evidence_data(const struct evidence *e);

#endif
