/* SPDX-License-Identifier: Apache-2.0 */
/* Firewall rules as `nft list ruleset` and `iptables-save` print them. */
#ifndef CLI_DOCTOR_FIREWALL_H
#define CLI_DOCTOR_FIREWALL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct firewall_view {
	char dropping[256]; /* the first rule that drops UDP to the port; empty: none */
	char closed[128];   /* an input chain that drops by default; empty: none */
	bool accepted;	    /* a rule accepts the port */
};

/* Reads all of `rules`, in either format. Pure. */
void firewall_read(FILE *rules, uint16_t port, struct firewall_view *out);

#endif
