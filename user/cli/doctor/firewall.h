/* SPDX-License-Identifier: Apache-2.0 */
/* Reads firewall rules as printed by `nft list ruleset` and `iptables-save`. */
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

/* Reads `rules` to the end, in either format. Pure. */
void firewall_read(FILE *rules, uint16_t port, struct firewall_view *out);

#endif
