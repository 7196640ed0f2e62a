/* SPDX-License-Identifier: Apache-2.0 */
#include "tunnel/takeover.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "netlink/link.h"
#include "netlink/our_routes.h"
#include "netlink/route.h"
#include "netlink/wireguard.h"
#include "service/client.h"
#include "tunnel/pair.h"

/* --- what Felix leaves --- */

struct felix {
	int family;
	struct link_info device;
	struct wireguard_info wireguard;
	struct our_route *routes; /* through the device */
	size_t n_routes;
	uint32_t priority, table; /* of the rule that leads to them; table 0: no rule */
};

static bool leads_there(const struct felix *f, uint32_t table)
{
	for (size_t i = 0; i < f->n_routes; i++)
		if (f->routes[i].ifindex == f->device.ifindex && f->routes[i].table == table)
			return true;
	return false;
}

static void visit_rule(void *context, uint32_t priority, uint32_t table)
{
	struct felix *f = context;

	if (!f->table && leads_there(f, table)) {
		f->priority = priority;
		f->table = table;
	}
}

/* Reads the device. 0: it is one of Felix's if f->table is not 0. -errno: it could not be read. */
static int read_felix(struct felix *f)
{
	int err = wireguard_get(f->device.ifindex, &f->wireguard);

	if (!err)
		err = our_routes(f->family, f->device.ifindex, &f->routes, &f->n_routes);
	/* Felix's mark depends on its version and its iptablesMarkMask, so take it from the
	 * device. */
	if (!err && f->wireguard.fwmark)
		err = rule_each_foreign(f->family, f->wireguard.fwmark, visit_rule, f);
	if (sodium_is_zero(f->wireguard.public_key, 32))
		f->table = 0;
	return err;
}

static void forget_felix(struct felix *f)
{
	free(f->routes);
	sodium_memzero(f, sizeof(*f));
}

/* --- whose is it? --- */

static bool is_ours(int family, const struct link_info *l)
{
	return !strcmp(l->kind, "veth") && pair_tunnel(family) == l->ifindex;
}

/* Felix's device, or one that an earlier agent began to take over. `f` was read. */
static bool can_be_taken(const struct felix *f, const uint8_t ours[32])
{
	return f->table || (!sodium_is_zero(f->wireguard.public_key, 32) &&
			    !memcmp(f->wireguard.public_key, ours, 32));
}

static enum takeover judge(struct felix *f, const uint8_t ours[32], const uint8_t *felix, char *why,
			   size_t room)
{
	const char *name = f->device.name;
	const int err = read_felix(f);

	if (!err && f->table && felix && memcmp(f->wireguard.public_key, ours, 32) &&
	    !memcmp(felix, f->wireguard.public_key, 32)) {
		snprintf(
			why, room,
			"%s is a WireGuard device that Felix uses: Podveil takes it over when Felix stops using it: " FELIX_PATCH,
			name);
		return TAKEOVER_REFUSED;
	}
	if (!err && can_be_taken(f, ours))
		return TAKEOVER_LEFT;
	snprintf(
		why, room,
		"%s is a WireGuard device that was created by hand: set another wireguardInterfaceName, or run ip link delete %s",
		name, name);
	return TAKEOVER_REFUSED;
}

enum takeover takeover_judge(int family, const char *name, const uint8_t ours[32],
			     const uint8_t *felix, char *why, size_t room)
{
	struct felix f = {.family = family};
	enum takeover result;

	*why = 0;
	if (link_get(name, &f.device) || is_ours(family, &f.device))
		return TAKEOVER_FREE;
	if (strcmp(f.device.kind, "wireguard")) {
		snprintf(
			why, room,
			"%s is a device of kind %s that another program created: set another wireguardInterfaceName, or run ip link delete %s",
			name, *f.device.kind ? f.device.kind : "physical", name);
		return TAKEOVER_REFUSED;
	}
	result = judge(&f, ours, felix, why, room);
	forget_felix(&f);
	return result;
}

const char *takeover_spare_name(int family)
{
	return family == AF_INET ? "pv4.next" : "pv6.next";
}

/* --- taking over --- */

static int drop_behind(const struct felix *f)
{
	int err = 0;

	for (size_t i = 0; i < f->n_routes && !err; i++) {
		const struct route backup = {.to = f->routes[i].to, .kind = ROUTE_BACKUP};

		if (f->routes[i].ifindex == f->device.ifindex && f->routes[i].type == RTN_UNICAST &&
		    f->routes[i].table == f->table)
			err = route_set(f->table, 0, &backup);
	}
	return err;
}

static int take(const struct felix *f, struct client *client, const char *key_name,
		uint8_t public_key[32])
{
	int err = f->table ? drop_behind(f) : 0;

	/* From now on, the next agent knows the device by our key. */
	if (!err)
		err = client_take_key(client, key_name, f->device.name, public_key);
	if (!err && f->table)
		err = rule_add(f->family, f->priority, f->table);
	if (err)
		return err;
	/* Felix's rule is found by the device's mark, so it goes before the mark changes. */
	if (f->table)
		rule_delete_foreign(f->family, f->wireguard.fwmark, f->priority, f->table);
	/* With our mark, the device's packets pass our rule as they passed Felix's. */
	return wireguard_free_port(f->device.ifindex, RULE_MARK);
}

int takeover_begin(int family, const char *name, struct client *client, const char *key_name,
		   uint8_t public_key[32])
{
	struct felix f = {.family = family};
	int err = link_get(name, &f.device);

	if (!err)
		err = read_felix(&f);
	if (!err)
		err = take(&f, client, key_name, public_key);
	if (!err)
		log_info("taking over the WireGuard device that Felix left, with its key",
			 "interface=%s priority=%u table=%u", name, f.priority, f.table);
	forget_felix(&f);
	return err;
}

int takeover_end(const char *name)
{
	struct link_info device;
	int err = link_get(name, &device);

	if (err)
		return err == -ENODEV ? 0 : err;
	return strcmp(device.kind, "wireguard") ? 0 : link_delete(device.ifindex);
}

/* --- keys --- */

struct key_search {
	const uint8_t *key;
	bool found;
};

static void visit_wireguard(void *context, const struct link_info *l)
{
	struct key_search *s = context;
	struct wireguard_info info;

	if (s->found || strcmp(l->kind, "wireguard"))
		return;
	s->found = !wireguard_get(l->ifindex, &info) && !memcmp(info.public_key, s->key, 32);
	sodium_memzero(&info, sizeof(info));
}

bool takeover_key_in_use(const uint8_t public_key[32])
{
	struct key_search s = {.key = public_key};

	link_each(visit_wireguard, &s);
	return s.found;
}
