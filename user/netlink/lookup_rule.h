/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules of routing without any selector: `PRIORITY: from all lookup TABLE proto 92`. Ours alone: a
 * rule that lacks the protocol is neither found nor deleted. Functions return 0 or -errno and log
 * nothing; a kernel without the family has no rules of it.
 */
#ifndef NETLINK_LOOKUP_RULE_H
#define NETLINK_LOOKUP_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOOKUP_RULES 8 /* more of ours than one are only there after a change that broke off */

struct lookup_rules {
	uint32_t priorities[LOOKUP_RULES];
	size_t n;
};

int lookup_rules_find(int family, uint32_t table, struct lookup_rules *out);
int lookup_rule_add(int family, uint32_t priority, uint32_t table);
int lookup_rule_delete(int family, uint32_t priority, uint32_t table); /* 0 also where it is gone */

#endif
