/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `podveil verify` sees on the wire, held against what the agent says of peers and their pods:
 * WireGuard messages a peer, and packets of remote pods in plain.
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
	bool peer;		  /* has a key: else it is talked to in plain */
	struct cidr endpoints[2]; /* IPv4 and IPv6 pods' tunnel; AF_UNSPEC: none */
	struct cidr tunnel[2];	  /* address of its tunnel device */
	struct evidence_traffic sent, received;
	uint64_t plain; /* packets of its pods */
};

struct evidence_example {
	const struct evidence_node *node;
	struct dissected_layer layer;
	bool outgoing;
};

struct evidence {
	struct evidence_node *nodes; /* in the order of names */
	size_t n_nodes;
	struct evidence_range {
		struct cidr cidr;
		size_t node;
		bool host; /* a node's own address, with host encryption */
	} * ranges;	   /* sorted, each once */
	size_t n_ranges;
	uint8_t lengths[2][129]; /* which prefix lengths there are, by family */
	struct evidence_endpoint {
		struct cidr address;
		size_t node;
	} * endpoints; /* sorted */
	size_t n_endpoints;
	struct dissect_ports ports;
	const struct evidence_node *only; /* NULL: all of them */
	uint8_t marker[EVIDENCE_MARKER];
	bool marked; /* the marker is looked for */
	uint64_t frames, plain, marker_seen;
	struct evidence_example examples[EVIDENCE_EXAMPLES];
	unsigned int n_examples;
};

/* Out of a status document. 0, -ENOMEM, -EPROTO: it is none. */
int evidence_new(const json_t *status, struct evidence **out);
void evidence_free(struct evidence *e);
struct evidence_node *evidence_find(const struct evidence *e, const char *name);
/* One frame from the wire. */
void evidence_add(struct evidence *e, const struct wiretap_frame *f);
/* Messages with content, both ways, of those nodes that are looked at. */
uint64_t evidence_data(const struct evidence *e);

#endif
