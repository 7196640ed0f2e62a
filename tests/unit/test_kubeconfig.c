/* SPDX-License-Identifier: Apache-2.0 */
/* Kubeconfig files and service accounts: usual ones, and invalid ones. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "store/kubernetes/kubeconfig.h"

static const char usual[] =
	"apiVersion: v1\nkind: Config\ncurrent-context: b\n"
	"contexts:\n- name: a\n  context: {cluster: none}\n"
	"- name: b\n  context:\n    cluster: k\n    user: u\n    namespace: n\n"
	"clusters:\n- name: k\n  cluster:\n    server: https://10.0.0.1:6443/\n"
	"    certificate-authority: pki/ca.crt\n    tls-server-name: kubernetes\n"
	"users:\n- name: u\n  user:\n    client-certificate: /etc/me.crt\n"
	"    client-key-data: \"c2VjcmV0\"\n    tokenFile: token\n";

static int parse(const char *text, struct credentials *c, char problem[300])
{
	return kubeconfig_parse(text, strlen(text), "/etc/kubernetes", c, problem, 300);
}

static void the_current_context_counts(void **state)
{
	struct credentials c;
	char problem[300];

	(void)state;
	assert_int_equal(parse(usual, &c, problem), 0);
	assert_string_equal(c.server, "https://10.0.0.1:6443");
	assert_string_equal(c.server_name, "kubernetes");
	assert_string_equal(c.ca_file, "/etc/kubernetes/pki/ca.crt");
	assert_string_equal(c.cert_file, "/etc/me.crt");
	assert_string_equal(c.key_data, "secret");
	assert_string_equal(c.token_file, "/etc/kubernetes/token");
	assert_string_equal(c.name_space, "n");
	assert_false(c.insecure);
	assert_null(c.token);
	credentials_fini(&c);
	assert_null(c.key_data);
}

static void json_is_yaml(void **state)
{
	struct credentials c;
	char problem[300];

	(void)state;
	assert_int_equal(
		parse("{\"current-context\":\"x\",\"contexts\":[{\"name\":\"x\",\"context\":"
		      "{\"cluster\":\"x\",\"user\":\"x\"}}],\"clusters\":[{\"name\":\"x\","
		      "\"cluster\":{\"server\":\"http://[::1]:8080\",\"insecure-skip-tls-verify\":"
		      "true}}],\"users\":[{\"name\":\"x\",\"user\":{\"token\":\"t\"}}]}",
		      &c, problem),
		0);
	assert_true(c.insecure);
	assert_string_equal(c.token, "t");
	credentials_fini(&c);
}

static void replaced(const char *from, const char *to, const char *says)
{
	char text[sizeof(usual) + 200], problem[300] = "";
	const char *at = strstr(usual, from);
	struct credentials c;

	assert_non_null(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - usual), usual, to, at + strlen(from));
	assert_int_equal(parse(text, &c, problem), -EINVAL);
	if (!strstr(problem, says))
		fail_msg("\"%s\" does not say \"%s\"", problem, says);
}

static void errors_are_reported(void **state)
{
	(void)state;
	replaced("current-context: b", "", "current-context is missing");
	replaced("current-context: b", "current-context: zz", "no context \"zz\"");
	replaced("cluster: k", "cluster: zz", "no cluster \"zz\"");
	replaced("user: u\n", "user: zz\n", "no user \"zz\"");
	replaced("https://10.0.0.1:6443/", "10.0.0.1", "needs https://HOST:PORT");
	replaced("c2VjcmV0", "%%%", "client-key-data is not base64");
	replaced("tokenFile: token", "exec: {command: aws}", "plugin");
	replaced("clusters:", "clusters: [", "line ");
	replaced("clusters:", "x: *y\nclusters:", "line ");
	replaced("apiVersion: v1", "\t", "line ");
	replaced("apiVersion: v1", "? {a: b}\n: c", "a key that is not text");
}

static void a_pod_has_a_service_account(void **state)
{
	char directory[] = "/tmp/podveil-test-XXXXXX", path[100], problem[300];
	struct credentials c;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(directory));
	unsetenv("KUBECONFIG");
	unsetenv("KUBERNETES_SERVICE_HOST");
	assert_int_equal(kubeconfig_find(directory, &c, problem, sizeof(problem)), -ENOENT);
	assert_non_null(strstr(problem, "KUBECONFIG"));
	setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	assert_int_equal(kubeconfig_find(directory, &c, problem, sizeof(problem)), -ENOENT);
	assert_non_null(strstr(problem, "automountServiceAccountToken"));
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, i ? "token" : "ca.crt");
		f = fopen(path, "w");
		assert_non_null(f);
		fclose(f);
	}
	assert_int_equal(kubeconfig_find(directory, &c, problem, sizeof(problem)), 0);
	assert_string_equal(c.server, "https://[fd00::1]:443");
	assert_non_null(c.token_file);
	credentials_fini(&c);
	setenv("KUBECONFIG", "/nowhere/config", 1);
	assert_int_equal(kubeconfig_find(directory, &c, problem, sizeof(problem)), -ENOENT);
	assert_non_null(strstr(problem, "/nowhere/config"));
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, i ? "token" : "ca.crt");
		unlink(path);
	}
	rmdir(directory);
}

/* Writes a file below `directory`, and returns its path in a buffer that the next call uses again. */
static const char *put(const char *directory, const char *name, const char *text)
{
	static char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return path;
}

static int find(const char *file, const char *context, struct credentials *c, char problem[300])
{
	const struct kubeconfig_choice choice = {file, context, "/nowhere"};

	return kubeconfig_of_user(&choice, c, problem, 300);
}

/* As kubectl: the first file that has something counts, and paths are relative to their own file. */
static void files_are_merged(void **state)
{
	char directory[] = "/tmp/podveil-test-XXXXXX", list[300], problem[300], path[200];
	struct credentials c;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/.kube", directory);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(list, sizeof(list), "%s/one:/nowhere/config:%s", directory, path);
	strcat(list, "/config");
	put(directory, "one",
	    "users:\n- name: u\n  user: {tokenFile: mine}\n"
	    "contexts:\n- name: c\n  context: {cluster: k, user: u}\n");
	put(path, "config", usual);
	unsetenv("KUBERNETES_SERVICE_HOST");
	setenv("HOME", directory, 1);
	setenv("KUBECONFIG", list, 1);
	assert_int_equal(find(NULL, NULL, &c, problem), 0);
	snprintf(list, sizeof(list), "%s/mine", directory);
	assert_string_equal(c.token_file, list); /* the user of the first file */
	assert_null(c.key_data);
	strcat(path, "/pki/ca.crt");
	assert_string_equal(c.ca_file, path); /* the cluster of the second one */
	credentials_fini(&c);
	assert_int_equal(find(NULL, "c", &c, problem), 0);
	assert_null(c.name_space);
	credentials_fini(&c);
	assert_int_equal(find(NULL, "zz", &c, problem), -EINVAL);
	assert_non_null(strstr(problem, "\"zz\", which --context names"));
	unsetenv("KUBECONFIG"); /* ~/.kube/config */
	assert_int_equal(find(NULL, NULL, &c, problem), 0);
	assert_string_equal(c.key_data, "secret");
	credentials_fini(&c);
	assert_int_equal(find("/nowhere/config", NULL, &c, problem), -ENOENT);
	assert_non_null(strstr(problem, "/nowhere/config: no such file"));
	snprintf(path, sizeof(path), "%s/.kube", directory);
	unlink(put(path, "config", ""));
	rmdir(path);
	assert_int_equal(find(NULL, NULL, &c, problem), -ENOENT);
	assert_non_null(strstr(problem, "/.kube/config, KUBECONFIG=FILE or --kubeconfig FILE"));
	unlink(put(directory, "one", ""));
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_current_context_counts),
		cmocka_unit_test(json_is_yaml),
		cmocka_unit_test(errors_are_reported),
		cmocka_unit_test(a_pod_has_a_service_account),
		cmocka_unit_test(files_are_merged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
