/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/addresses/assignments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/array.h"
#include "store/kubernetes/addresses/ipam_block.h"
#include "store/record.h"

static void add(struct assignments *a, const char *node, const struct cidr *cidr, bool granted)
{
	if (ARRAY_GROW(a->all, a->n, a->room))
		return;
	a->all[a->n++] = (struct assignment){node, *cidr, granted};
}

void assignments_fini(struct assignments *a)
{
	free(a->all);
	*a = (struct assignments){.all = NULL};
}

static const char *text_of(const json_t *o, const char *member)
{
	return json_string_value(json_object_get(o, member));
}

/* --- IPAM blocks --- */

static void add_block_share(void *context, const char *node, const struct cidr *range, bool whole)
{
	add(context, node, range, !whole);
}

bool assignments_of_block(const json_t *block, struct assignments *out, assignments_problem problem,
			  void *context)
{
	const json_t *spec = json_object_get(block, "spec");
	struct cidr range;
	char what[120];

	if (ipam_block_range(spec, &range, what, sizeof(what))) {
		problem(context, what);
		return false;
	}
	ipam_block_each_share(spec, &range, add_block_share, out);
	return true;
}

/* --- CiliumNodes --- */

static void add_ranges(struct assignments *out, const char *node, const json_t *all,
		       const char *where, assignments_problem problem, void *context)
{
	const json_t *v;
	size_t i;

	json_array_foreach (all, i, v) {
		const char *text = json_string_value(v);
		struct cidr range;
		char what[160];

		if (text && !cidr_parse(text, &range)) {
			add(out, node, &range, false);
			continue;
		}
		snprintf(what, sizeof(what), "%s[%zu]: \"%.60s\" is no address range", where, i,
			 text ? text : "");
		problem(context, what);
	}
}

/* Cilium's own address on the node is one of the node's ranges, unless Cilium takes it from
 * elsewhere. */
static void add_internal(struct assignments *out, const char *node, const json_t *addresses)
{
	const json_t *v;
	size_t i;

	json_array_foreach (addresses, i, v) {
		const char *type = text_of(v, "type"), *ip = text_of(v, "ip");
		struct cidr address;
		bool covered = false;

		if (!type || !ip || strcmp(type, "CiliumInternalIP") != 0 ||
		    cidr_parse_address(ip, &address))
			continue;
		for (size_t k = 0; k < out->n; k++)
			covered |= cidr_contains(&out->all[k].cidr, &address);
		if (!covered)
			add(out, node, &address, false);
	}
}

bool assignments_of_cilium_node(const json_t *o, struct assignments *out,
				assignments_problem problem, void *context)
{
	const json_t *spec = json_object_get(o, "spec"), *ipam = json_object_get(spec, "ipam"), *v;
	const json_t *pools = json_object_get(json_object_get(ipam, "pools"), "allocated");
	const char *node = text_of(json_object_get(o, "metadata"), "name");
	size_t i;

	if (!node)
		return false;
	add_ranges(out, node, json_object_get(ipam, "podCIDRs"), "spec.ipam.podCIDRs", problem,
		   context);
	json_array_foreach (pools, i, v)
		add_ranges(out, node, json_object_get(v, "cidrs"),
			   "spec.ipam.pools.allocated.cidrs", problem, context);
	/* Without ranges the CiliumNode does not say where pods are. */
	if (out->n)
		add_internal(out, node, json_object_get(spec, "addresses"));
	return true;
}

/* --- Pods --- */

/* RFC 3339 in UTC, as the API server writes it. 0: no such time. */
static int64_t time_of(const char *text)
{
	struct tm t = {.tm_isdst = 0};

	return text && strptime(text, "%Y-%m-%dT%H:%M:%S", &t) ? (int64_t)timegm(&t) : 0;
}

static bool has_ended(const json_t *status)
{
	const char *phase = text_of(status, "phase");

	return phase && (!strcmp(phase, "Succeeded") || !strcmp(phase, "Failed"));
}

static void add_pod_address(struct assignments *out, const char *node, const char *text,
			    assignments_problem problem, void *context)
{
	struct cidr address;
	char what[120];

	if (text && !cidr_parse_address(text, &address)) {
		add(out, node, &address, false);
		return;
	}
	snprintf(what, sizeof(what), "status.podIPs: \"%.60s\" is no address", text ? text : "");
	problem(context, what);
}

bool assignments_of_pod(const json_t *pod, struct assignments *out, assignments_problem problem,
			void *context)
{
	const json_t *metadata = json_object_get(pod, "metadata"), *v;
	const json_t *spec = json_object_get(pod, "spec"), *status = json_object_get(pod, "status");
	const json_t *addresses = json_object_get(status, "podIPs");
	const char *node = text_of(spec, "nodeName"), *first = text_of(status, "podIP");
	size_t i;

	/* An address of a pod in its node's network is the node's. */
	if (!node || node_name_problem(node) || has_ended(status) ||
	    json_is_true(json_object_get(spec, "hostNetwork")))
		return true;
	out->ending = json_is_string(json_object_get(metadata, "deletionTimestamp"));
	out->created = time_of(text_of(metadata, "creationTimestamp"));
	json_array_foreach (addresses, i, v)
		add_pod_address(out, node, text_of(v, "ip"), problem, context);
	if (!json_array_size(addresses) && first)
		add_pod_address(out, node, first, problem, context);
	return true;
}
