/* SPDX-License-Identifier: Apache-2.0 */
/* The findings of `podveil doctor`: a list, in the order of output. */
#ifndef CLI_DOCTOR_FINDINGS_H
#define CLI_DOCTOR_FINDINGS_H

#include <stddef.h>
#include <stdint.h>

#include "netlink/link.h"
#include "plan/settings.h"

enum verdict { GOOD, WORSE, BAD };

#define MAX_FINDINGS 40

struct finding {
	const char *what;
	enum verdict verdict;
	char found[320];
	const char *needed, *todo; /* if the verdict is not GOOD */
};

struct report {
	struct finding all[MAX_FINDINGS];
	size_t n;
};

void add_finding(struct report *r, const char *what, enum verdict verdict, const char *needed,
		 const char *todo, const char *format, ...) __attribute__((format(printf, 6, 7)));

/* --- doctor_network.c: pods, peers, other tunnels, firewall --- */

/* Reads the settings of the running agent, including those of its store. */
void doctor_settings(struct settings_stack *settings);
void doctor_pods(struct report *r, const struct link_info *uplink, const struct settings *s);
void doctor_other_tunnels(struct report *r, const struct settings *s);
void doctor_firewall(struct report *r, const struct settings *s);
/* These ask the agent, if one is running. */
void doctor_guard(struct report *r);
void doctor_first_line(struct report *r);
void doctor_peers(struct report *r);

#endif
