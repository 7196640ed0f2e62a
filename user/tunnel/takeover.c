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
	int err = drop_behind(f);

	/* If we die between two of these steps, the next agent can continue. */
	if (!err)
		err = rule_add(f->family, f->priority, f->table);
	if (!err)
		err = client_take_key(client, key_name, f->device.name, public_key);
	if (!err)
		err = link_delete(f->device.ifindex);
	if (err)
		return err;
	rule_delete_foreign(f->family, f->wireguard.fwmark, f->priority, f->table);
	return 0;
}

static bool is_ours(int family, const struct link_info *l)
{
	return !strcmp(l->kind, "veth") && pair_tunnel(family) == l->ifindex;
}

static enum takeover take_or_refuse(struct felix *f, struct client *client, const char *key_name,
				    const uint8_t *published, uint8_t public_key[32], char *why,
				    size_t room)
{
	const char *name = f->device.name;
	int err = read_felix(f);

	if (!err && f->table && published && !memcmp(published, f->wireguard.public_key, 32)) {
		snprintf(
			why, room,
			"%s is a WireGuard device that Felix uses: Podveil takes it over when Felix stops using it: " FELIX_PATCH,
			name);
		return TAKEOVER_REFUSED;
	}
	if (err || !f->table) {
		snprintf(
			why, room,
			"%s is a WireGuard device that was created by hand: set another wireguardInterfaceName, or run ip link delete %s",
			name, name);
		return TAKEOVER_REFUSED;
	}
	err = take(f, client, key_name, public_key);
	if (err) {
		snprintf(why, room, "%s, abandoned by Felix, cannot be taken over: %s", name,
			 strerror(-err));
		return TAKEOVER_REFUSED;
	}
	log_info("took over the WireGuard device that Felix left, with its key",
		 "interface=%s priority=%u table=%u", name, f->priority, f->table);
	return TAKEOVER_DONE;
}

enum takeover takeover_name(int family, const char *name, struct client *client,
			    const char *key_name, const uint8_t *published, uint8_t public_key[32],
			    char *why, size_t room)
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
	result = take_or_refuse(&f, client, key_name, published, public_key, why, room);
	forget_felix(&f);
	return result;
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
