/* SPDX-License-Identifier: Apache-2.0 */
/* doctor's checks around the node: pods, peers, other tunnels, firewall. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/agent_status.h"
#include "cli/doctor/findings.h"
#include "cli/doctor/firewall.h"
#include "http/address.h"
#include "netlink/link.h"
#include "protocol/messages.h"

/* --- settings --- */

void doctor_settings(struct settings_stack *settings)
{
	json_t *status = agent_status_fetch(NULL);
	const json_t *one;
	const char *name;

	if (!status)
		return;
	settings_layer_begin(settings, SETTINGS_FLAG, "agent");
	json_object_foreach (json_object_get(status, "settings"), name, one)
		if (*member_text(one, "value"))
			settings_layer_set(settings, name, member_text(one, "value"));
	settings_layer_end(settings);
	json_decref(status);
}

/* --- devices --- */

struct devices {
	const struct settings *s;
	int uplink;	      /* ifindex */
	uint32_t pods;	      /* devices with their other end in another namespace */
	uint32_t largest_mtu; /* of these devices */
	char largest[IF_NAMESIZE];
	char wireguards[128]; /* other tunnels, separated by spaces */
};

static void see(void *context, const struct link_info *l)
{
	struct devices *d = context;
	const size_t used = strlen(d->wireguards);

	if (!strcmp(l->name, d->s->interface4) || !strcmp(l->name, d->s->interface6))
		return;
	if (!strcmp(l->kind, "wireguard") && used + strlen(l->name) + 2 < sizeof(d->wireguards))
		snprintf(d->wireguards + used, sizeof(d->wireguards) - used, "%s%s",
			 used ? " " : "", l->name);
	if (strcmp(l->kind, "veth") || !l->peer_in_other_namespace || l->ifindex == d->uplink)
		return;
	d->pods++;
	if (l->mtu > d->largest_mtu) {
		d->largest_mtu = l->mtu;
		memcpy(d->largest, l->name, sizeof(d->largest));
	}
}

/* `uplink` is skipped: in a container it may look like a pod's device. */
static struct devices find_devices(const struct settings *s, int uplink)
{
	struct devices d = {.s = s, .uplink = uplink};

	link_each(see, &d);
	return d;
}

static void pods_against(struct report *r, const struct devices *d, const char *what, uint32_t mtu)
{
	add_finding(
		r, what, d->largest_mtu > mtu ? WORSE : GOOD,
		"a pod MTU not above that of the tunnel",
		"set the CNI's MTU to that of the tunnel: larger packets are fragmented, or rejected as too big",
		"at most %u, %s; the tunnel has %u", d->largest_mtu, d->largest, mtu);
}

void doctor_pods(struct report *r, const struct link_info *uplink, const struct settings *s)
{
	const struct devices d = find_devices(s, uplink->ifindex);

	if (!d.pods) {
		add_finding(r, "MTU of pods", GOOD, "", "", "no pods on this node yet");
		return;
	}
	pods_against(r, &d, "MTU of pods", s->mtu4 ? s->mtu4 : uplink->mtu - MESSAGE_OVERHEAD_IPV4);
	if (s->enabled6)
		pods_against(r, &d, "MTU, IPv6 pods",
			     s->mtu6 ? s->mtu6 : uplink->mtu - MESSAGE_OVERHEAD_IPV6);
}

void doctor_other_tunnels(struct report *r, const struct settings *s)
{
	const struct devices d = find_devices(s, 0);

	add_finding(
		r, "other WireGuard", *d.wireguards ? WORSE : GOOD,
		"no other WireGuard device with our port",
		"compare with wg show DEVICE listen-port; to switch off Felix's own WireGuard, set wireguardEnabled to false",
		"%s", *d.wireguards ? d.wireguards : "none");
}

/* --- firewall --- */

static bool read_rules(const char *command, uint16_t port, struct firewall_view *out)
{
	FILE *rules = popen(command, "r"); /* a constant */
	bool there;

	if (!rules)
		return false;
	firewall_read(rules, port, out);
	there = !pclose(rules);
	return there;
}

static void firewall_port(struct report *r, const char *what, uint16_t port)
{
	struct firewall_view nft = {.accepted = false}, legacy = {.accepted = false};
	const bool have_nft = read_rules("nft list ruleset 2>/dev/null", port, &nft);
	const bool have_legacy = read_rules("iptables-legacy-save 2>/dev/null", port, &legacy);
	const char *dropping = *nft.dropping ? nft.dropping : legacy.dropping;
	const char *closed = *nft.closed ? nft.closed : legacy.closed;
	const bool accepted = nft.accepted || legacy.accepted;
	const char *todo =
		"allow UDP on this port between nodes, in both directions; with Calico's host endpoints, by a policy";

	if (!have_nft && !have_legacy)
		add_finding(r, what, GOOD, "", "",
			    "not checked: nft(8) is missing, or not permitted");
	else if (*dropping)
		add_finding(r, what, BAD, "no rule that drops UDP to the port", todo, "%u: %s",
			    port, dropping);
	else if (*closed && !accepted)
		add_finding(r, what, WORSE, "a rule that accepts UDP to the port", todo,
			    "%u: no rule accepts it, and: %s", port, closed);
	else
		add_finding(r, what, GOOD, "", "", "no rule drops UDP %u", port);
}

void doctor_firewall(struct report *r, const struct settings *s)
{
	firewall_port(r, "firewall", s->port4);
	if (s->enabled6)
		firewall_port(r, "firewall, IPv6", s->port6);
}

/* --- what the agent reports --- */

static void wire(struct report *r, const json_t *tunnels)
{
	const json_t *t;
	size_t i;

	json_array_foreach (tunnels, i, t) {
		const char *what = i ? "wire, IPv6 pods" : "wire";

		if (!json_object_get(t, "wire"))
			continue;
		if (member_true(t, "wireRefused"))
			add_finding(r, what, WORSE, "an uplink that supports xdp",
				    "remove the named obstacle, or set podveilWire to auto",
				    "socket: %s", member_text(t, "wireWhy"));
		else
			add_finding(r, what, GOOD, "", "", "%s: %s", member_text(t, "wire"),
				    member_text(t, "wireWhy"));
	}
}

static void latency(struct report *r, const json_t *tunnels)
{
	const json_t *t;
	size_t i;

	json_array_foreach (tunnels, i, t) {
		const char *what = i ? "latency, IPv6 pods" : "latency";

		if (!member_true(t, "lowLatency"))
			continue;
		if (json_is_string(json_object_get(t, "lowLatencyLacks")))
			add_finding(r, what, WORSE,
				    "CAP_SYS_NICE, a cgroup with a realtime budget, and "
				    "/dev/cpu_dma_latency",
				    "run privileged, or set podveilLowLatency to false", "%s",
				    member_text(t, "lowLatencyLacks"));
		else
			add_finding(r, what, GOOD, "", "",
				    "low: workers run first, no processor sleeps");
	}
}

static void served(struct report *r, const json_t *status)
{
	const json_t *http = json_object_get(status, "http");

	if (!http) /* an older agent */
		return;
	if (!json_is_string(http))
		add_finding(r, "HTTP", GOOD, "", "", "off");
	else if (http_address_full(json_string_value(http)))
		add_finding(r, "HTTP", WORSE, "page and status for this machine only",
			    "remove \",full\" from --http, or restrict access with a firewall",
			    "%s: everybody can read keys and endpoints of peers",
			    json_string_value(http));
	else
		add_finding(r, "HTTP", GOOD, "", "", "%s; page and status only on this machine",
			    json_string_value(http));
}

void doctor_guard(struct report *r)
{
	json_t *status = agent_status_fetch(NULL);
	const json_t *guard = json_object_get(status, "guard"), *d;
	const json_t *devices = json_object_get(guard, "devices");
	char where[160] = "", others[120] = "";
	size_t i;

	json_array_foreach (devices, i, d) {
		const char *device = member_text(d, "device");
		size_t used = strlen(where);

		snprintf(where + used, sizeof(where) - used, " %s%s", device,
			 member_true(d, "stands") ? "" : " (missing)");
		used = strlen(others);
		if (json_is_string(json_object_get(d, "before")))
			snprintf(others + used, sizeof(others) - used, "; on %s, %s ran before it",
				 device, member_text(d, "before"));
	}
	if (json_array_size(devices))
		add_finding(
			r, "guard",
			!member_true(guard, "stands") ? BAD
			: *others		      ? WORSE
						      : GOOD,
			"guard and shield on every device that leads out of the node, before all other filters",
			"find the owner of the other filter with tc filter show dev DEVICE egress, or bpftool net show, and move it behind ours. The agent puts ours first again each time",
			"by %s on%s%s", member_text(guard, "method"), where, others);
	json_decref(status);
}

void doctor_first_line(struct report *r)
{
	json_t *status = agent_status_fetch(NULL);
	const json_t *line = json_object_get(status, "firstLine");
	const bool routing = member_true(line, "routing"), nftables = member_true(line, "nftables");

	if (member_true(line, "wanted"))
		add_finding(
			r, "first line", routing && nftables ? GOOD : BAD,
			"rule and routes of table 20566, and the table inet podveil of nftables",
			"see the agent's log; it tries again. Until then, only the guard protects",
			"%s",
			routing && nftables ? "active"
			: routing	    ? "the nftables table is missing"
			: nftables	    ? "the routes are missing"
					    : "both the routes and the nftables table are missing");
	json_decref(status);
}

void doctor_peers(struct report *r)
{
	json_t *status = agent_status_fetch(NULL);
	const json_t *t, *p;
	size_t i, k, n = 0, answered = 0;
	char silent[160] = "", why[512] = "";

	if (!status)
		return;
	json_array_foreach (json_object_get(status, "tunnels"), i, t) {
		json_array_foreach (json_object_get(t, "peers"), k, p) {
			const size_t used = strlen(silent);
			const char *name = member_text(p, "node");

			n++;
			if (!*why && json_is_string(json_object_get(p, "silence")))
				snprintf(why, sizeof(why), "; %s: %s", name,
					 member_text(p, "silence"));
			if (member_number(p, "lastHandshake"))
				answered++;
			else if (used + strlen(name) + 2 < sizeof(silent))
				snprintf(silent + used, sizeof(silent) - used, "%s%s",
					 used ? " " : "", name);
		}
	}
	wire(r, json_object_get(status, "tunnels"));
	latency(r, json_object_get(status, "tunnels"));
	served(r, status);
	json_decref(status);
	if (answered == n)
		add_finding(r, "peers", GOOD, "", "", "%zu of %zu answered", answered, n);
	else
		add_finding(
			r, "peers", WORSE, "an answer from each peer over UDP",
			"check that the agent runs there, and that no firewall between the nodes drops UDP: tcpdump -ni UPLINK udp port 51820 on both",
			"%zu of %zu answered; no answer: %s%s", answered, n, silent, why);
}
