/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and IPAM blocks become records, by Calico's rules, in each order of events. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "check.h"
#include "store/kubernetes/cluster.h"

#define KEY "eD2VBB3lnJqVkkYVk4BIhkfmw/BIVChjFA88CH6MREs="

/* What the callbacks reported, as lines. */
struct calls {
	char text[8192];
	char problems[2048];
};

static void on_node(void *context, const char *name, const struct node_record *r)
{
	struct calls *t = context;
	char *at = t->text + strlen(t->text), text[CIDR_TEXT], endpoint[ENDPOINT_TEXT_MAX];
	const char *end = t->text + sizeof(t->text);

	at += snprintf(at, (size_t)(end - at), "%s", name);
	if (!r)
		at += snprintf(at, (size_t)(end - at), " gone");
	if (r && r->address4.family)
		at += snprintf(at, (size_t)(end - at), " %s",
			       cidr_format(&r->address4, true, text));
	if (r && r->address6.family)
		at += snprintf(at, (size_t)(end - at), " %s",
			       cidr_format(&r->address6, true, text));
	if (r && r->tunnel4.family)
		at += snprintf(at, (size_t)(end - at), " tunnel %s",
			       cidr_format(&r->tunnel4, true, text));
	for (size_t i = 0; r && i < r->n_pod_cidrs; i++)
		at += snprintf(at, (size_t)(end - at), " %s",
			       cidr_format(&r->pod_cidrs[i], false, text));
	for (size_t i = 0; r && i < r->n_granted; i++)
		at += snprintf(at, (size_t)(end - at), " granted %s",
			       cidr_format(&r->granted[i], true, text));
	for (size_t i = 0; r && i < 4; i++)
		if (r->overlays[i].family)
			at += snprintf(at, (size_t)(end - at), " says %s",
				       cidr_format(&r->overlays[i], true, text));
	if (r && *r->endpoint4.host)
		at += snprintf(at, (size_t)(end - at), " at %s",
			       record_endpoint_format(&r->endpoint4, endpoint));
	if (r && *r->endpoint6.host)
		at += snprintf(at, (size_t)(end - at), " at %s",
			       record_endpoint_format(&r->endpoint6, endpoint));
	if (r && r->key4[0])
		at += snprintf(at, (size_t)(end - at), " key%s", r->released4 ? " released" : "");
	if (r)
		at += snprintf(at, (size_t)(end - at), "%s%s%s", r->stopped4 ? " left" : "",
			       r->stopped6 ? " left6" : "", r->encrypts ? " encrypts" : "");
	if (r && !r->assigned)
		fail_msg("ranges of a cluster are assigned");
	snprintf(at, (size_t)(end - at), "\n");
}

static void on_problem(void *context, const char *object, const char *what)
{
	struct calls *t = context;

	snprintf(t->problems + strlen(t->problems), sizeof(t->problems) - strlen(t->problems),
		 "%s: %s\n", object, what);
}

static struct cluster *make(struct calls *t)
{
	const struct cluster_events events = {.node = on_node, .problem = on_problem, .context = t};

	memset(t, 0, sizeof(*t));
	return cluster_new(&events);
}

static json_t *object(const char *format, va_list args)
{
	char text[4096];
	json_error_t error;
	json_t *o;

	vsnprintf(text, sizeof(text), format, args);
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	o = json_loads(text, 0, &error);
	if (!o)
		fail_msg("%s: %s", text, error.text);
	return o;
}

static void put(struct cluster *c, enum cluster_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void put(struct cluster *c, enum cluster_kind kind, const char *format, ...)
{
	va_list args;
	json_t *o;

	va_start(args, format);
	o = object(format, args);
	va_end(args);
	cluster_object(c, kind, o, false);
	json_decref(o);
}

#define node(c, ...)  put(c, CLUSTER_NODES, __VA_ARGS__)
#define block(c, ...) put(c, CLUSTER_BLOCKS, __VA_ARGS__)

static void gone(struct cluster *c, enum cluster_kind kind, const char *name)
{
	json_t *o = json_pack("{s:{s:s}}", "metadata", "name", name);

	cluster_object(c, kind, o, true);
	json_decref(o);
}

static void simple(struct cluster *c, const char *name, int i)
{
	node(c,
	     "{'metadata':{'name':'%s'},'spec':{'podCIDRs':['10.244.%d.0/24']},"
	     "'status':{'addresses':[{'type':'InternalIP','address':'172.18.0.%d'}]}}",
	     name, i, i);
}

static void all_listed(struct cluster *c)
{
	for (int kind = CLUSTER_BLOCKS; kind < CLUSTER_KINDS; kind++) {
		cluster_list_begin(c, kind);
		cluster_list_end(c, kind, true);
	}
	cluster_list_end(c, CLUSTER_NODES, true);
	cluster_use(c, ROUTE_SOURCE_POD_CIDRS);
}

static void expect(struct calls *t, const char *text)
{
	assert_string_equal(t->text, text);
	*t->text = 0;
}

static void without_calico_the_node_has_everything(void **state)
{
	struct calls t;
	struct cluster *c = make(&t);

	(void)state;
	cluster_list_begin(c, CLUSTER_NODES);
	node(c,
	     "{'metadata':{'name':'a','annotations':{'projectcalico.org/WireguardPublicKey':'" KEY
	     "'}},'spec':{'podCIDRs':['10.244.1.0/24','fd00:1::/64']},'status':{'addresses':["
	     "{'type':'Hostname','address':'a'},{'type':'InternalIP','address':'fd00::1'},"
	     "{'type':'InternalIP','address':'172.18.0.1'}]}}");
	expect(&t, "");
	all_listed(c);
	expect(&t, "a 172.18.0.1 fd00::1 10.244.1.0/24 fd00:1::/64 key\n");
	assert_string_equal(cluster_key(c, "a", false), KEY);
	assert_string_equal(cluster_key(c, "a", true), "");
	assert_null(cluster_key(c, "b", false));
	gone(c, CLUSTER_NODES, "a");
	expect(&t, "a gone\n");
	assert_int_equal(cluster_count(c), 0);
	cluster_free(c);
}

static void annotations_come_first(void **state)
{
	struct calls t;
	struct cluster *c = make(&t);

	(void)state;
	all_listed(c);
	node(c, "{'metadata':{'name':'a','annotations':{'projectcalico.org/IPv4Address':"
		"'192.0.2.7/24','projectcalico.org/IPv4WireguardInterfaceAddr':'10.1.0.5',"
		"'projectcalico.org/IPv4VXLANTunnelAddr':'10.1.0.6',"
		"'podveil.io/WireguardEndpoint':'vpn.example.com:4500',"
		"'podveil.io/WireguardEndpointV6':'[2001:db8::1]:51821',"
		"'projectcalico.org/WireguardPublicKey':'not a key'}},"
		"'status':{'addresses':[{'type':'InternalIP','address':'172.18.0.1'}]}}");
	/* The address of its tunnel is not one of its ranges. */
	expect(&t, "a 192.0.2.7 tunnel 10.1.0.5 says 10.1.0.6 at vpn.example.com:4500 at "
		   "[2001:db8::1]:51821\n");
	assert_string_equal(cluster_key(c, "a", false), "not a key");
	cluster_free(c);
}

/* A block of node a. Some of its addresses are used on node b. */
#define BORROWED                                                                                   \
	"{'metadata':{'name':'10-1-0-0-26'},'spec':{'cidr':'10.1.0.0/26','affinity':'host:a',"     \
	"'allocations':[0,null,1,1,7],'attributes':[{'secondary':{'node':'a'}},"                   \
	"{'secondary':{'node':'b'}}]}}"

static void blocks_assign_addresses_to_nodes(void **state)
{
	struct calls t;
	struct cluster *c = make(&t);

	(void)state;
	all_listed(c);
	simple(c, "a", 1);
	simple(c, "b", 2);
	expect(&t, "a 172.18.0.1 10.244.1.0/24\nb 172.18.0.2 10.244.2.0/24\n");
	/* Blocks do not count before they are the source. Then podCIDRs are ignored for all nodes. */
	block(c, BORROWED);
	expect(&t, "");
	cluster_use(c, ROUTE_SOURCE_CALICO_IPAM);
	expect(&t, "a 172.18.0.1 10.1.0.0/26\n"
		   "b 172.18.0.2 10.1.0.2/32 10.1.0.3/32 granted 10.1.0.2 granted 10.1.0.3\n");
	/* The same block again changes nothing. */
	block(c, BORROWED);
	expect(&t, "");
	/* The block moves to b. */
	block(c,
	      "{'metadata':{'name':'10-1-0-0-26'},'spec':{'cidr':'10.1.0.0/26',"
	      "'affinity':'host:b','allocations':[0],'attributes':[{'secondary':{'node':'a'}}]}}");
	expect(&t, "a 172.18.0.1 10.1.0.0/32 granted 10.1.0.0\nb 172.18.0.2 10.1.0.0/26\n");
	/* The block is released: no node has it, or any of its addresses. */
	block(c, "{'metadata':{'name':'other'},'spec':{'cidr':'10.1.1.0/26','affinity':"
		 "'virtual:load-balancer'}}");
	block(c,
	      "{'metadata':{'name':'10-1-0-0-26'},'spec':{'cidr':'10.1.0.0/26','deleted':true}}");
	expect(&t, "b 172.18.0.2\na 172.18.0.1\n");
	/* The last block is not deleted by an event: the resource may be gone. */
	gone(c, CLUSTER_BLOCKS, "other");
	assert_true(cluster_expects_deletions(c, CLUSTER_BLOCKS));
	assert_false(cluster_confirm_deletions(c, CLUSTER_BLOCKS));
	assert_int_equal(cluster_count_with_ranges(c, CLUSTER_BLOCKS), 1);
	expect(&t, "");
	cluster_use(c, ROUTE_SOURCE_POD_CIDRS);
	expect(&t, "a 172.18.0.1 10.244.1.0/24\nb 172.18.0.2 10.244.2.0/24\n");
	cluster_free(c);
}

static void blocks_may_come_before_their_nodes(void **state)
{
	struct calls t;
	struct cluster *c = make(&t);

	(void)state;
	cluster_list_begin(c, CLUSTER_BLOCKS);
	block(c, BORROWED);
	cluster_list_end(c, CLUSTER_BLOCKS, true);
	cluster_list_begin(c, CLUSTER_NODES);
	simple(c, "b", 2);
	cluster_use(c, ROUTE_SOURCE_CALICO_IPAM);
	expect(&t, "");
	cluster_list_end(c, CLUSTER_NODES, true);
	expect(&t, "b 172.18.0.2 10.1.0.2/32 10.1.0.3/32 granted 10.1.0.2 granted 10.1.0.3\n");
	simple(c, "a", 1);
	expect(&t, "a 172.18.0.1 10.1.0.0/26\n");
	/* The node is deleted and made again: it still has its block. */
	gone(c, CLUSTER_NODES, "a");
	simple(c, "a", 3);
	expect(&t, "a gone\na 172.18.0.3 10.1.0.0/26\n");
	cluster_free(c);
}

static void a_new_list_forgets_what_is_not_in_it(void **state)
{
	struct calls t;
	struct cluster *c = make(&t);

	(void)state;
	all_listed(c);
	simple(c, "a", 1);
	simple(c, "b", 2);
	block(c, BORROWED);
	cluster_use(c, ROUTE_SOURCE_CALICO_IPAM);
	*t.text = 0;
	cluster_list_begin(c, CLUSTER_NODES);
	simple(c, "b", 2);
	expect(&t, "");
	cluster_list_end(c, CLUSTER_NODES, true);
	expect(&t, "a gone\n"
		   "b 172.18.0.2 10.1.0.2/32 10.1.0.3/32 granted 10.1.0.2 granted 10.1.0.3\n");
	cluster_list_begin(c, CLUSTER_BLOCKS);
	cluster_list_end(c, CLUSTER_BLOCKS, true);
	expect(&t, "b 172.18.0.2\n");
	assert_int_equal(cluster_count_with_ranges(c, CLUSTER_BLOCKS), 0);
	cluster_free(c);
}

static void with_blocks_tunnels_have_assigned_addresses_only(void **state)
{
	struct calls t;
	struct cluster *c = make(&t);

	(void)state;
	all_listed(c);
	node(c, "{'metadata':{'name':'a','annotations':{'projectcalico.org/IPv4VXLANTunnelAddr':"
		"'10.1.0.9','projectcalico.org/IPv6IPIPTunnelAddr':'zz'}}}");
	expect(&t, "a tunnel 10.1.0.9 says 10.1.0.9\n");
	cluster_use(c, ROUTE_SOURCE_CALICO_IPAM);
	*t.text = 0;
	block(c, BORROWED);
	expect(&t, "a tunnel 10.1.0.9 10.1.0.0/26 says 10.1.0.9\n");
	assert_non_null(
		strstr(t.problems, "nodes/a: annotation projectcalico.org/IPv6IPIPTunnelAddr"));
	cluster_free(c);
}

static void invalid_objects_are_named_and_change_nothing_else(void **state)
{
	struct calls t;
	struct cluster *c = make(&t);

	(void)state;
	all_listed(c);
	node(c, "{'metadata':{'name':'A b'}}");
	node(c, "{'metadata':{}}");
	node(c,
	     "{'metadata':{'name':'e','annotations':{'podveil.io/WireguardEndpoint':'nowhere'}}}");
	expect(&t, "e\n");
	assert_non_null(strstr(t.problems, "nodes/e: annotation podveil.io/WireguardEndpoint: "
					   "\"nowhere\": it needs a port"));
	gone(c, CLUSTER_NODES, "e");
	expect(&t, "e gone\n");
	node(c, "{'metadata':{'name':'a','annotations':[]},'spec':{'podCIDRs':['10.0.0.0/99',7,"
		"'10.9.0.0/24']},'status':{'addresses':'no'}}");
	expect(&t, "a 10.9.0.0/24\n");
	block(c, "{'metadata':{'name':'x'},'spec':{'cidr':'10.1.0.0/40','affinity':'host:a'}}");
	block(c, "{'metadata':{'name':'y'}}");
	block(c, "{'metadata':{'name':'z'},'spec':{'cidr':'10.7.0.0/26','affinity':'host:../x',"
		 "'allocations':['a',-1,99999999,0],'attributes':[{'secondary':{'node':'..'}}]}}");
	cluster_use(c, ROUTE_SOURCE_CALICO_IPAM);
	expect(&t, "a\n");
	assert_non_null(strstr(t.problems, "nodes/A b: may have"));
	assert_non_null(strstr(t.problems, "nodes/a: spec.podCIDRs[0]: \"10.0.0.0/99\""));
	assert_non_null(strstr(t.problems, "ipamblocks/x: spec.cidr: \"10.1.0.0/40\""));
	cluster_free(c);
}

/* Calico allocates a tunnel's address like a pod's: the block says which node has it. */
static void a_tunnel_address_in_another_nodes_block(void **state)
{
	struct calls t;
	struct cluster *c = make(&t);

	(void)state;
	all_listed(c);
	node(c, "{'metadata':{'name':'b','annotations':{'projectcalico.org/IPv4VXLANTunnelAddr':"
		"'10.1.0.1'}}}");
	block(c, "{'metadata':{'name':'10-1-0-0-26'},'spec':{'cidr':'10.1.0.0/26','affinity':"
		 "'host:a','allocations':[null,0],'attributes':[{'handle_id':'vxlan-tunnel-addr-b',"
		 "'secondary':{'node':'b','type':'vxlanTunnelAddress'}}]}}");
	cluster_use(c, ROUTE_SOURCE_CALICO_IPAM);
	expect(&t, "b tunnel 10.1.0.1 says 10.1.0.1\n"
		   "b tunnel 10.1.0.1 10.1.0.1/32 granted 10.1.0.1 says 10.1.0.1\n");
	cluster_free(c);
}

#define OURS "podveil.io/WireguardPublicKey"
#define CONDITION(reason)                                                                          \
	"'status':{'conditions':[{'type':'Ready','reason':'Encrypting'},"                          \
	"{'type':'PodveilReady','status':'True','reason':'" reason "'}]}"

static void a_key_is_removed_only_by_withdrawal(void **state)
{
	struct calls t;
	struct cluster *c = make(&t);

	(void)state;
	all_listed(c);
	node(c, "{'metadata':{'name':'a','annotations':{'" CLUSTER_KEY4 "':'" KEY "','" OURS
		"':'" KEY "','" OURS "V6':'off'}}," CONDITION("Encrypting") "}");
	expect(&t, "a key left6 encrypts\n");
	/* Felix removes its annotation when it starts. */
	node(c, "{'metadata':{'name':'a','annotations':{'" OURS "':'" KEY
		"'}}," CONDITION("PeersMissing") "}");
	expect(&t, "a key released encrypts\n");
	assert_string_equal(cluster_key(c, "a", false), "");
	assert_string_equal(cluster_own_key(c, "a", false), KEY);
	/* Only the condition is left. */
	node(c, "{'metadata':{'name':'a'}," CONDITION("NotEverythingDone") "}");
	expect(&t, "a encrypts\n");
	/* It leaves: by its annotation or, with an older agent, by its condition. */
	node(c, "{'metadata':{'name':'a','annotations':{'" OURS
		"':'off'}}," CONDITION("Encrypting") "}");
	expect(&t, "a left encrypts\n");
	node(c, "{'metadata':{'name':'a'}," CONDITION("EncryptionOff") "}");
	expect(&t, "a left left6\n");
	node(c, "{'metadata':{'name':'a'}," CONDITION("Removed") "}");
	expect(&t, "a left left6\n");
	/* Now Felix encrypts on that node. */
	node(c, "{'metadata':{'name':'a','annotations':{'" CLUSTER_KEY4 "':'" KEY "','" OURS
		"':'off'}}}");
	expect(&t, "a key left\n");
	cluster_free(c);
}

/* --- pods --- */

#define POD(name, on, address, more)                                                               \
	"{'metadata':{'namespace':'d','name':'" name "','creationTimestamp':'2026-01-01T00:00:0"   \
	"7Z'" more "},'spec':{'nodeName':'" on "'},'status':{'phase':'Running','podIP':'" address  \
	"','podIPs':[{'ip':'" address "'}]}}"
#define ENDING ",'deletionTimestamp':'2026-01-01T00:01:00Z'"

static void pod_gone(struct cluster *c, const char *name)
{
	json_t *o = json_pack("{s:{s:s, s:s}}", "metadata", "namespace", "d", "name", name);

	cluster_object(c, CLUSTER_PODS, o, true);
	json_decref(o);
}

static struct cluster *two_nodes_with_pods(struct calls *t)
{
	struct cluster *c = make(t);

	all_listed(c);
	simple(c, "a", 1);
	simple(c, "b", 2);
	cluster_use(c, ROUTE_SOURCE_WORKLOAD_IPS);
	*t->text = 0;
	return c;
}

static void pods_have_the_addresses_that_they_run_with(void **state)
{
	struct calls t;
	struct cluster *c = two_nodes_with_pods(&t);

	(void)state;
	put(c, CLUSTER_PODS, POD("p", "a", "172.18.1.1", ""));
	expect(&t, "a 172.18.0.1 172.18.1.1/32\n");
	put(c, CLUSTER_PODS,
	    "{'metadata':{'namespace':'d','name':'q'},'spec':{'nodeName':'a'},'status':{'podIP':"
	    "'172.18.1.2','podIPs':[{'ip':'172.18.1.2'},{'ip':'fd00::12'}]}}");
	expect(&t, "a 172.18.0.1 172.18.1.1/32 172.18.1.2/32 fd00::12/128\n");
	/* Without a node, without an address, in its node's network, at its end: it has none. */
	put(c, CLUSTER_PODS, "{'metadata':{'name':'r'},'status':{'podIP':'172.18.1.3'}}");
	put(c, CLUSTER_PODS, "{'metadata':{'name':'s'},'spec':{'nodeName':'a'}}");
	put(c, CLUSTER_PODS,
	    "{'metadata':{'name':'h'},'spec':{'nodeName':'a','hostNetwork':true},"
	    "'status':{'podIP':'172.18.0.1'}}");
	put(c, CLUSTER_PODS,
	    "{'metadata':{'name':'f'},'spec':{'nodeName':'a'},"
	    "'status':{'podIP':'172.18.1.4','phase':'Failed'}}");
	expect(&t, "");
	put(c, CLUSTER_PODS,
	    "{'metadata':{'namespace':'d','name':'q'},'spec':{'nodeName':'a'},'status':{'podIP':"
	    "'172.18.1.2','phase':'Succeeded'}}");
	expect(&t, "a 172.18.0.1 172.18.1.1/32\n");
	/* Deleted: at once, an event of a pod is proof. A namesake elsewhere is another pod. */
	put(c, CLUSTER_PODS,
	    "{'metadata':{'namespace':'e','name':'p'},'spec':{'nodeName':'b'},"
	    "'status':{'podIP':'172.18.1.9'}}");
	pod_gone(c, "p");
	expect(&t, "b 172.18.0.2 172.18.1.9/32\na 172.18.0.1\n");
	put(c, CLUSTER_PODS,
	    "{'metadata':{'name':'n'},'spec':{'nodeName':'a'},'status':{'podIP':"
	    "'nowhere'}}");
	assert_non_null(strstr(t.problems, "pods/n: status.podIPs: \"nowhere\" is no address"));
	cluster_free(c);
}

static void an_address_goes_from_a_pod_that_ends_to_one_that_lives(void **state)
{
	struct calls t;
	struct cluster *c = two_nodes_with_pods(&t);

	(void)state;
	put(c, CLUSTER_PODS, POD("old", "a", "172.18.1.1", ENDING));
	expect(&t, "a 172.18.0.1 172.18.1.1/32\n");
	put(c, CLUSTER_PODS, POD("new", "b", "172.18.1.1", ""));
	expect(&t, "b 172.18.0.2 172.18.1.1/32\na 172.18.0.1\n");
	/* The end of the old one changes nothing. */
	pod_gone(c, "old");
	expect(&t, "a 172.18.0.1\n");
	/* The other order: the successor is seen while the old one still lives. Both have it, for the
	 * registry to judge, until the old one's end begins. */
	put(c, CLUSTER_PODS, POD("next", "a", "172.18.1.1", ""));
	expect(&t, "a 172.18.0.1 172.18.1.1/32\n");
	put(c, CLUSTER_PODS, POD("new", "b", "172.18.1.1", ENDING));
	expect(&t, "b 172.18.0.2\n");
	/* Both end: the youngest has it. */
	put(c, CLUSTER_PODS,
	    "{'metadata':{'namespace':'d','name':'next','creationTimestamp':'2026-01-01T00:00:09Z'" ENDING
	    "},'spec':{'nodeName':'a'},'status':{'podIP':'172.18.1.1'}}");
	expect(&t, "a 172.18.0.1 172.18.1.1/32\nb 172.18.0.2\n");
	/* When it is gone, the other one still has it. */
	pod_gone(c, "next");
	expect(&t, "a 172.18.0.1\nb 172.18.0.2 172.18.1.1/32\n");
	pod_gone(c, "new");
	expect(&t, "b 172.18.0.2\n");
	cluster_free(c);
}

/* --- CiliumNodes --- */

#define CILIUM_A                                                                                   \
	"{'metadata':{'name':'a'},'spec':{'addresses':[{'type':'InternalIP','ip':'172.18.0.1'},"   \
	"{'type':'CiliumInternalIP','ip':'10.0.1.77'}],'ipam':{'podCIDRs':['10.0.1.0/24']}}}"

static void cilium_says_which_ranges_a_node_has(void **state)
{
	struct calls t;
	struct cluster *c = make(&t);

	(void)state;
	all_listed(c);
	simple(c, "a", 1);
	simple(c, "b", 2);
	*t.text = 0;
	put(c, CLUSTER_CILIUM_NODES, CILIUM_A);
	cluster_use(c, ROUTE_SOURCE_CILIUM_NODE);
	expect(&t, "a 172.18.0.1 10.0.1.0/24\nb 172.18.0.2\n");
	/* Pools, and an own address from elsewhere. */
	put(c, CLUSTER_CILIUM_NODES,
	    "{'metadata':{'name':'b'},'spec':{'addresses':[{'type':'CiliumInternalIP','ip':"
	    "'10.9.9.9'}],'ipam':{'podCIDRs':['10.0.2.0/33'],'pools':{'allocated':[{'pool':'p',"
	    "'cidrs':['10.0.2.0/27','10.0.3.0/27']}]}}}}");
	expect(&t, "b 172.18.0.2 10.0.2.0/27 10.0.3.0/27 10.9.9.9/32\n");
	assert_non_null(strstr(t.problems, "ciliumnodes/b: spec.ipam.podCIDRs[0]"));
	/* Without ranges, as with ENI, it says nothing. */
	put(c, CLUSTER_CILIUM_NODES,
	    "{'metadata':{'name':'b'},'spec':{'addresses':[{'type':'CiliumInternalIP','ip':"
	    "'10.9.9.9'}]}}");
	expect(&t, "b 172.18.0.2\n");
	assert_int_equal(cluster_count_with_ranges(c, CLUSTER_CILIUM_NODES), 1);
	/* One of two is deleted. A deletion that was taken back is none. */
	gone(c, CLUSTER_CILIUM_NODES, "a");
	put(c, CLUSTER_CILIUM_NODES, CILIUM_A);
	gone(c, CLUSTER_CILIUM_NODES, "b");
	assert_true(cluster_confirm_deletions(c, CLUSTER_CILIUM_NODES));
	expect(&t, "");
	/* All are deleted, as when the resource definition goes. */
	gone(c, CLUSTER_CILIUM_NODES, "a");
	assert_false(cluster_confirm_deletions(c, CLUSTER_CILIUM_NODES));
	expect(&t, "");
	/* A source that is not watched any more. */
	cluster_use(c, ROUTE_SOURCE_POD_CIDRS);
	cluster_forget(c, CLUSTER_CILIUM_NODES);
	expect(&t, "a 172.18.0.1 10.244.1.0/24\nb 172.18.0.2 10.244.2.0/24\n");
	cluster_free(c);
}

/* A new source is used only when its objects were read. */
static void nothing_is_reported_before_the_source_was_read(void **state)
{
	struct calls t;
	struct cluster *c = make(&t);

	(void)state;
	simple(c, "a", 1);
	cluster_list_end(c, CLUSTER_NODES, true);
	expect(&t, "");
	cluster_use(c, ROUTE_SOURCE_WORKLOAD_IPS);
	cluster_list_begin(c, CLUSTER_PODS);
	put(c, CLUSTER_PODS, POD("p", "a", "172.18.1.1", ""));
	expect(&t, "");
	cluster_list_end(c, CLUSTER_PODS, true);
	expect(&t, "a 172.18.0.1 172.18.1.1/32\n");
	cluster_free(c);
}

static void a_key_that_felix_released_is_marked(void **state)
{
	struct calls t;
	struct cluster *c = make(&t);

	(void)state;
	all_listed(c);
	node(c, "{'metadata':{'name':'a','annotations':{'" CLUSTER_KEY4 "':'" KEY
		"','podveil.io/WireguardReleasedKey':'another'}}}");
	expect(&t, "a key\n");
	/* Somebody has put it back. */
	node(c, "{'metadata':{'name':'a','annotations':{'" CLUSTER_KEY4 "':'" KEY
		"','podveil.io/WireguardReleasedKey':'" KEY "'}}}");
	expect(&t, "a key released\n");
	/* The other family has a key of its own. */
	node(c, "{'metadata':{'name':'a','annotations':{'" CLUSTER_KEY4 "':'" KEY
		"','podveil.io/WireguardReleasedKeyV6':'" KEY "'}}}");
	expect(&t, "a key\n");
	cluster_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_calico_the_node_has_everything),
		cmocka_unit_test(annotations_come_first),
		cmocka_unit_test(blocks_assign_addresses_to_nodes),
		cmocka_unit_test(blocks_may_come_before_their_nodes),
		cmocka_unit_test(a_new_list_forgets_what_is_not_in_it),
		cmocka_unit_test(with_blocks_tunnels_have_assigned_addresses_only),
		cmocka_unit_test(invalid_objects_are_named_and_change_nothing_else),
		cmocka_unit_test(a_tunnel_address_in_another_nodes_block),
		cmocka_unit_test(a_key_is_removed_only_by_withdrawal),
		cmocka_unit_test(pods_have_the_addresses_that_they_run_with),
		cmocka_unit_test(an_address_goes_from_a_pod_that_ends_to_one_that_lives),
		cmocka_unit_test(cilium_says_which_ranges_a_node_has),
		cmocka_unit_test(nothing_is_reported_before_the_source_was_read),
		cmocka_unit_test(a_key_that_felix_released_is_marked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
