/* SPDX-License-Identifier: Apache-2.0 */
/* What `podveil cluster status` says of a cluster: whom it believes, and how it is printed. */
#include <jansson.h>
#include <stdio.h>

#include "check.h"
#include "cli/cluster/installation.h"
#include "cli/cluster/overview.h"

#define KEY_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="
#define KEY_B "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI="

static const struct paint no_paint = {"", "", "", ""};

/* A node whose agent has said this. */
static void add_node(struct overview *o, const char *name, const char *key4, const char *key6,
		     const char *reason, const char *message)
{
	const bool encrypts = reason && !strcmp(reason, "Encrypting");
	json_t *n = json_pack("{s:{s:s, s:{s:s*, s:s*}}, s:{s:[{s:s, s:s}]}}", "metadata", "name",
			      name, "annotations", "projectcalico.org/WireguardPublicKey", key4,
			      "projectcalico.org/WireguardPublicKeyV6", key6, "status", "addresses",
			      "type", "InternalIP", "address", "10.0.0.1");

	assert_non_null(n);
	if (reason)
		json_object_set_new(
			json_object_get(n, "status"), "conditions",
			json_pack("[{s:s, s:s, s:s, s:s}]", "type", "PodveilReady", "status",
				  encrypts || !strcmp(reason, "EncryptionOff") ? "True" : "False",
				  "reason", reason, "message", message));
	overview_node(o, n);
	json_decref(n);
}

static void add_settings(struct overview *o, const char *name, const char *spec)
{
	json_t *s = json_pack("{s:{s:s}, s:o}", "metadata", "name", name, "spec",
			      json_loads(spec, 0, NULL));

	assert_non_null(s);
	overview_settings(o, s);
	json_decref(s);
}

static json_t *finish(struct overview *o)
{
	json_t *d =
		overview_document(o, "https://server", "podveilconfigurations.podveil.io", true);
	char *text = json_dumps(d, 0);

	assert_non_null(text); /* all of it can be written */
	free(text);
	overview_free(o);
	return d;
}

static const json_t *node_of(const json_t *d, size_t i)
{
	return json_array_get(json_object_get(d, "nodes"), i);
}

static void assert_node(const json_t *d, size_t i, bool encrypts, const char *reason,
			const char *why)
{
	const json_t *n = node_of(d, i);

	assert_int_equal(json_is_true(json_object_get(n, "encrypts")), encrypts);
	assert_string_equal(json_string_value(json_object_get(n, "reason")), reason);
	assert_string_equal(json_string_value(json_object_get(n, "why")), why);
}

static bool encrypted(const json_t *d)
{
	return json_is_true(json_object_get(d, "encrypted"));
}

static char *printed(const json_t *d, bool wide)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	overview_print(d, wide, &no_paint, f);
	fclose(f);
	return text;
}

static void nodes_that_encrypt(void **state)
{
	struct overview *o = overview_new();
	json_t *d;
	char *text;

	(void)state;
	add_node(o, "b", KEY_B, NULL, "Encrypting", "IPv4: encrypts, superpackets");
	add_node(o, "a-long-name", KEY_A, NULL, "Encrypting", "IPv4: encrypts, per packet");
	add_settings(o, "default", "{\"wireguardEnabled\": true, \"podveilWire\": \"xdp\"}");
	d = finish(o);
	assert_true(encrypted(d));
	text = printed(d, false);
	assert_string_equal(
		text,
		"NODE         ENCRYPTS  WHY\n"
		"a-long-name  yes       IPv4: encrypts, per packet\n"
		"b            yes       IPv4: encrypts, superpackets\n"
		"\n"
		"nodes: 2 of 2 encrypt\n"
		"pairs of nodes: 1 of 1 encrypted\n"
		"settings: podveilconfigurations.podveil.io/default: wireguardEnabled=true podveilWire=xdp\n");
	free(text);
	text = printed(d, true);
	assert_non_null(strstr(
		text, "b            yes       yes   no    10.0.0.1  -      -      IPv4: encrypts"));
	free(text);
	json_decref(d);
}

static void a_node_that_does_not_encrypt(void **state)
{
	struct overview *o = overview_new();
	json_t *d, *pairs;
	char *text;

	(void)state;
	add_node(o, "a", KEY_A, NULL, "Encrypting", "IPv4: encrypts");
	add_node(o, "b", NULL, NULL, "EncryptionOff", "encryption is switched off");
	/* Its agent has ended; the key is still there. */
	add_node(o, "c", KEY_B, NULL, "Removed", "no agent runs on this node");
	add_node(o, "d", NULL, NULL, NULL, NULL);
	d = finish(o);
	assert_false(encrypted(d));
	assert_node(d, 0, true, "Encrypting", "IPv4: encrypts");
	assert_node(d, 1, false, "EncryptionOff", "encryption is switched off");
	assert_node(d, 2, false, "Removed", "no agent runs on this node");
	assert_node(d, 3, false, "NoAgent", "no agent has reported: does Podveil run there?");
	pairs = json_object_get(d, "pairs");
	assert_int_equal(json_integer_value(json_object_get(pairs, "all")), 6);
	assert_int_equal(json_integer_value(json_object_get(pairs, "encrypted")), 0);
	assert_int_equal(json_array_size(json_object_get(pairs, "plain")), 6);
	text = printed(d, false);
	assert_non_null(strstr(text, "not encrypted: a and b (b: encryption is switched off)\n"));
	assert_non_null(strstr(text, "settings: none in podveilconfigurations.podveil.io"));
	free(text);
	json_decref(d);
}

static void a_family_that_is_wanted_counts(void **state)
{
	struct overview *o = overview_new();
	json_t *d;

	(void)state;
	add_node(o, "a", KEY_A, KEY_B, "Encrypting", "both");
	add_node(o, "b", KEY_B, NULL, "Encrypting", "IPv4 only");
	d = finish(o);
	assert_node(d, 0, true, "Encrypting", "both");
	assert_node(d, 1, false, "KeyMissing", "no IPv6 key on its Node");
	json_decref(d);
	o = overview_new();
	add_settings(o, "default", "{\"wireguardEnabled\": true, \"wireguardEnabledV6\": true}");
	add_node(o, "a", KEY_A, NULL, "Encrypting", "IPv4 only");
	d = finish(o);
	assert_node(d, 0, false, "KeyMissing", "no IPv6 key on its Node");
	json_decref(d);
}

static void keys_that_encrypt_nothing(void **state)
{
	struct overview *o = overview_new();
	json_t *d;

	(void)state;
	add_node(o, "a", KEY_A, NULL, "Encrypting", "");
	add_node(o, "b", KEY_A, NULL, "Encrypting", "");
	add_node(o, "c", "not a key", NULL, "Encrypting", "");
	add_node(o, "d", KEY_B, NULL, NULL, NULL); /* Felix's */
	d = finish(o);
	assert_node(d, 0, false, "KeyOfTwoNodes", "has the IPv4 key of node b");
	assert_node(d, 1, false, "KeyOfTwoNodes", "has the IPv4 key of node a");
	assert_node(d, 2, false, "KeyNotValid", "its IPv4 key is not valid");
	assert_node(d, 3, true, "OtherWireGuard", "has a key, but no agent of Podveil: Felix?");
	json_decref(d);
}

static void add_agent(struct overview *o, const char *node, const char *image, const char *ready)
{
	json_t *p = json_pack("{s:{s:s}, s:{s:s, s:[{s:s, s:s}]}, s:{s:[{s:s, s:s}]}}", "metadata",
			      "name", "podveil-x", "spec", "nodeName", node, "containers", "name",
			      "podveil", "image", image, "status", "conditions", "type", "Ready",
			      "status", ready);

	assert_non_null(p);
	overview_agent(o, p);
	json_decref(p);
}

static void who_is_gone_is_not_believed(void **state)
{
	struct overview *o = overview_new();
	json_t *d, *n;

	(void)state;
	add_node(o, "a", KEY_A, NULL, "Encrypting", "");
	add_node(o, "b", KEY_B, NULL, "Encrypting", "");
	n = json_loads("{\"metadata\":{\"name\":\"c\"},\"status\":{\"conditions\":["
		       "{\"type\":\"PodveilReady\",\"status\":\"True\",\"reason\":\"Encrypting\"},"
		       "{\"type\":\"Ready\",\"status\":\"Unknown\"}]}}",
		       0, NULL);
	overview_node(o, n);
	json_decref(n);
	overview_expect_agents(o);
	add_agent(o, "a", "podveil:1", "False");
	add_agent(o, "a", "podveil:1", "True"); /* its successor */
	add_agent(o, "a", "podveil:0", "False");
	d = finish(o);
	assert_node(d, 0, true, "Encrypting", "");
	assert_node(d, 1, false, "NoAgent",
		    "no pod of Podveil is on it; what it reported last is old");
	assert_node(d, 2, false, "NodeUnknown",
		    "its kubelet does not report; nothing is known of it");
	json_decref(d);
	o = overview_new();
	add_node(o, "a", KEY_A, NULL, "Encrypting", "");
	add_node(o, "b", KEY_B, NULL, "Encrypting", "");
	overview_expect_agents(o);
	add_agent(o, "a", "podveil:1", "True");
	add_agent(o, "b", "podveil:2", "False");
	d = finish(o);
	assert_node(d, 1, false, "AgentNotReady", "its pod of Podveil is not ready");
	assert_string_equal(json_string_value(json_array_get(json_object_get(d, "problems"), 0)),
			    "nodes run different images: podveil:1 and podveil:2");
	json_decref(d);
}

static void what_was_not_read_is_not_encrypted(void **state)
{
	struct overview *o = overview_new();
	json_t *d;

	(void)state;
	add_node(o, "a", KEY_A, NULL, "Encrypting", "");
	overview_problem(o, true, "not all nodes were read");
	d = finish(o);
	assert_false(encrypted(d));
	json_decref(d);
	d = finish(overview_new()); /* no nodes */
	assert_false(encrypted(d));
	json_decref(d);
}

static void texts_of_others_do_no_harm(void **state)
{
	struct overview *o = overview_new();
	char message[500], *text;
	json_t *d;

	(void)state;
	memset(message, 'x', sizeof(message));
	/* The end of the room is within a sequence of three bytes. */
	memcpy(message, "\033[31m\xc2\x9b", 7);
	memcpy(message + 397, "\xe2\x82\xac", 3);
	message[499] = 0;
	add_node(o, "a", KEY_A, NULL, "Encrypting", message);
	add_settings(o, "default",
		     "{\"podveilWire\": \"\\u001b[2J\", \"wireguardMTU\": {\"a\": 1}}");
	d = finish(o);
	text = printed(d, true);
	for (const char *t = text; *t; t++)
		assert_true((*t >= 0x20 && *t < 0x7f) || *t == '\n');
	assert_non_null(strstr(text, "wireguardMTU={\"a\":1}"));
	free(text);
	json_decref(d);
}

static const char *resource_of(struct installation *in, const char *container)
{
	json_t *d = json_pack("{s:{s:{s:{s:[o]}}}}", "spec", "template", "spec", "containers",
			      json_loads(container, 0, NULL));

	assert_non_null(d);
	installation_daemon_set(in, d);
	json_decref(d);
	return in->config_resource;
}

static void the_resource_that_agents_read(void **state)
{
	struct installation in = {.found = false};

	(void)state;
	assert_string_equal(resource_of(&in, "{\"env\": [{\"name\": \"X\", \"value\": \"y\"}]}"),
			    "");
	assert_true(in.found);
	in.found = false;
	assert_string_equal(
		resource_of(
			&in,
			"{\"env\": [{\"name\": \"PODVEIL_CONFIG_RESOURCE\", \"value\": \"a\"}]}"),
		"a");
	in.found = false;
	assert_string_equal(resource_of(&in, "{\"args\": [\"agent\", \"--config-resource\", \"b\"],"
					     "\"env\": [{\"name\": \"PODVEIL_CONFIG_RESOURCE\","
					     "\"value\": \"a\"}]}"),
			    "b");
	assert_false(in.contradictory);
	assert_string_equal(resource_of(&in, "{\"args\": [\"--config-resource=c\"]}"), "c");
	assert_true(in.contradictory);
	assert_string_equal(resource_of(&in, "{\"args\": [1, \"--config-resource\"]}"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_that_encrypt),
		cmocka_unit_test(a_node_that_does_not_encrypt),
		cmocka_unit_test(a_family_that_is_wanted_counts),
		cmocka_unit_test(keys_that_encrypt_nothing),
		cmocka_unit_test(who_is_gone_is_not_believed),
		cmocka_unit_test(what_was_not_read_is_not_encrypted),
		cmocka_unit_test(texts_of_others_do_no_harm),
		cmocka_unit_test(the_resource_that_agents_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
