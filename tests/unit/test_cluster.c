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
	char *at = t->text + strlen(t->text), text[CIDR_TEXT];
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

static void node(struct cluster *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void block(struct cluster *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void node(struct cluster *c, const char *format, ...)
{
	va_list args;
	json_t *o;

	va_start(args, format);
	o = object(format, args);
	va_end(args);
	cluster_node(c, o, false);
	json_decref(o);
}

static void block(struct cluster *c, const char *format, ...)
{
	va_list args;
	json_t *o;

	va_start(args, format);
	o = object(format, args);
	va_end(args);
	cluster_block(c, o, false);
	json_decref(o);
}

static void gone(struct cluster *c, void (*tell)(struct cluster *, const json_t *, bool),
		 const char *name)
{
	json_t *o = json_pack("{s:{s:s}}", "metadata", "name", name);

	tell(c, o, true);
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
	cluster_list_begin(c, CLUSTER_BLOCKS);
	cluster_list_end(c, CLUSTER_BLOCKS, true);
	cluster_list_end(c, CLUSTER_NODES, true);
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
	gone(c, cluster_node, "a");
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
		"'projectcalico.org/WireguardPublicKey':'not a key'}},"
		"'status':{'addresses':[{'type':'InternalIP','address':'172.18.0.1'}]}}");
	/* The address of its tunnel is not one of its ranges. */
	expect(&t, "a 192.0.2.7 tunnel 10.1.0.5 says 10.1.0.6\n");
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
	/* From the first block on, podCIDRs are ignored for all nodes. */
	block(c, BORROWED);
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
	/* After the last block is deleted, podCIDRs count again. */
	gone(c, cluster_block, "other");
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
	expect(&t, "");
	cluster_list_end(c, CLUSTER_NODES, true);
	expect(&t, "b 172.18.0.2 10.1.0.2/32 10.1.0.3/32 granted 10.1.0.2 granted 10.1.0.3\n");
	simple(c, "a", 1);
	expect(&t, "a 172.18.0.1 10.1.0.0/26\n");
	/* The node is deleted and made again: it still has its block. */
	gone(c, cluster_node, "a");
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
	*t.text = 0;
	cluster_list_begin(c, CLUSTER_NODES);
	simple(c, "b", 2);
	expect(&t, "");
	cluster_list_end(c, CLUSTER_NODES, true);
	expect(&t, "a gone\n"
		   "b 172.18.0.2 10.1.0.2/32 10.1.0.3/32 granted 10.1.0.2 granted 10.1.0.3\n");
	cluster_list_begin(c, CLUSTER_BLOCKS);
	cluster_list_end(c, CLUSTER_BLOCKS, true);
	expect(&t, "b 172.18.0.2 10.244.2.0/24\n");
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
	node(c, "{'metadata':{'name':'a','annotations':[]},'spec':{'podCIDRs':['10.0.0.0/99',7,"
		"'10.9.0.0/24']},'status':{'addresses':'no'}}");
	expect(&t, "a 10.9.0.0/24\n");
	block(c, "{'metadata':{'name':'x'},'spec':{'cidr':'10.1.0.0/40','affinity':'host:a'}}");
	block(c, "{'metadata':{'name':'y'}}");
	block(c, "{'metadata':{'name':'z'},'spec':{'cidr':'10.7.0.0/26','affinity':'host:../x',"
		 "'allocations':['a',-1,99999999,0],'attributes':[{'secondary':{'node':'..'}}]}}");
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
		cmocka_unit_test(a_key_that_felix_released_is_marked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
