/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/kubeconfig.h"

#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "store/kubernetes/yaml.h"
#include "store/problem.h"

#define MAX_BYTES (1u << 20)

/* Where an entry notes the directory of its file. No member of a kubeconfig has this name. */
#define DIRECTORY "podveil.io/directory"

struct context {
	const char *wanted; /* name of the context; NULL: current-context */
	struct problem problem;
};

/* The entry `name` of the list `list`: its member `what`. */
static json_t *entry(const json_t *o, const char *list, const char *name, const char *what)
{
	const json_t *all = json_object_get(o, list);
	size_t i;
	json_t *v;

	json_array_foreach (all, i, v) {
		const char *is = json_string_value(json_object_get(v, "name"));

		if (is && !strcmp(is, name))
			return json_object_get(v, what);
	}
	return NULL;
}

static int copy_text(const json_t *o, const char *member, char **out)
{
	const char *text = json_string_value(json_object_get(o, member));

	if (!text || !*text)
		return 0;
	*out = strdup(text);
	return *out ? 0 : -ENOMEM;
}

static int copy_path(const json_t *o, const char *member, char **out)
{
	const char *path = json_string_value(json_object_get(o, member));
	const char *directory = json_string_value(json_object_get(o, DIRECTORY));

	if (!path || !*path)
		return 0;
	if (*path == '/')
		*out = strdup(path);
	else if (asprintf(out, "%s/%s", directory, path) < 0)
		*out = NULL;
	return *out ? 0 : -ENOMEM;
}

/* Takes data that is in the file itself, in base64. */
static int copy_data(const struct context *c, const json_t *o, const char *member, char **out)
{
	const char *text = json_string_value(json_object_get(o, member));
	size_t len;

	if (!text || !*text)
		return 0;
	*out = malloc(strlen(text) + 1);
	if (!*out)
		return -ENOMEM;
	if (sodium_base642bin((unsigned char *)*out, strlen(text), text, strlen(text), " \n", &len,
			      NULL, sodium_base64_VARIANT_ORIGINAL)) {
		free(*out);
		*out = NULL;
		return problem_say(&c->problem, "%s is not base64", member);
	}
	(*out)[len] = 0;
	return 0;
}

static int take_cluster(const struct context *c, const json_t *cluster, struct credentials *out)
{
	const char *server = json_string_value(json_object_get(cluster, "server"));
	size_t len;
	int err;

	if (!server || (strncmp(server, "https://", 8) != 0 && strncmp(server, "http://", 7) != 0))
		return problem_say(
			&c->problem, "the cluster's server is %s%.200s%s: needs https://HOST:PORT",
			server ? "\"" : "", server ? server : "missing", server ? "\"" : "");
	len = strlen(server);
	while (len && server[len - 1] == '/')
		len--;
	out->server = strndup(server, len);
	out->insecure = json_is_true(json_object_get(cluster, "insecure-skip-tls-verify"));
	err = out->server ? 0 : -ENOMEM;
	err = err ? err : copy_text(cluster, "tls-server-name", &out->server_name);
	err = err ? err : copy_path(cluster, "certificate-authority", &out->ca_file);
	return err ? err : copy_data(c, cluster, "certificate-authority-data", &out->ca_data);
}

static int take_user(const struct context *c, const json_t *user, struct credentials *out)
{
	int err = 0;

	if (json_object_get(user, "exec") || json_object_get(user, "auth-provider"))
		return problem_say(&c->problem,
				   "the user's credentials come from a plugin: needs a client "
				   "certificate, a token or a tokenFile");
	err = err ? err : copy_path(user, "client-certificate", &out->cert_file);
	err = err ? err : copy_data(c, user, "client-certificate-data", &out->cert_data);
	err = err ? err : copy_path(user, "client-key", &out->key_file);
	err = err ? err : copy_data(c, user, "client-key-data", &out->key_data);
	err = err ? err : copy_text(user, "token", &out->token);
	err = err ? err : copy_path(user, "tokenFile", &out->token_file);
	err = err ? err : copy_text(user, "username", &out->user);
	return err ? err : copy_text(user, "password", &out->password);
}

static int take(const struct context *c, const json_t *o, struct credentials *out)
{
	const char *current =
		c->wanted ? c->wanted : json_string_value(json_object_get(o, "current-context"));
	const json_t *context = current ? entry(o, "contexts", current, "context") : NULL;
	const char *cluster = json_string_value(json_object_get(context, "cluster"));
	const char *user = json_string_value(json_object_get(context, "user"));
	const json_t *found = cluster ? entry(o, "clusters", cluster, "cluster") : NULL;
	int err;

	if (!current || !*current)
		return problem_say(&c->problem,
				   "current-context is missing: kubectl config use-context NAME");
	if (!context)
		return problem_say(&c->problem, "there is no context \"%.100s\", which %s names",
				   current, c->wanted ? "--context" : "current-context");
	if (!found)
		return problem_say(&c->problem,
				   "there is no cluster \"%.100s\", which the context names",
				   cluster ? cluster : "");
	err = take_cluster(c, found, out);
	found = user ? entry(o, "users", user, "user") : NULL;
	if (!err && user && !found)
		err = problem_say(&c->problem,
				  "there is no user \"%.100s\", whom the context names", user);
	if (!err && found)
		err = take_user(c, found, out);
	return err ? err : copy_text(context, "namespace", &out->name_space);
}

/* Notes the directory in what each entry of a list contains: paths there are relative to it. */
static int note_directory(json_t *list, const char *what, const char *directory)
{
	size_t i;
	json_t *v;

	json_array_foreach (list, i, v) {
		json_t *inside = json_object_get(v, what);

		if (json_is_object(inside) &&
		    json_object_set_new(inside, DIRECTORY, json_string(directory)))
			return -ENOMEM;
	}
	return 0;
}

/* Parses one file. NULL: `problem` says what is wrong. */
static json_t *parse_file(const char *text, size_t len, const char *directory,
			  const struct problem *problem)
{
	json_t *o = yaml_parse(text, len, problem->text, problem->room);

	if (!o)
		return NULL;
	if (!json_is_object(o))
		problem_say(problem, "not a mapping");
	else if (note_directory(json_object_get(o, "clusters"), "cluster", directory) ||
		 note_directory(json_object_get(o, "users"), "user", directory))
		problem_say(problem, "no memory, or the directory's name is not UTF-8");
	else
		return o;
	json_decref(o);
	return NULL;
}

static int take_fresh(const struct context *c, const json_t *o, struct credentials *out)
{
	struct credentials fresh = {.insecure = false};
	const int err = take(c, o, &fresh);

	if (err)
		credentials_fini(&fresh);
	else
		*out = fresh;
	return err;
}

int kubeconfig_parse(const char *text, size_t len, const char *directory, struct credentials *out,
		     char *problem, size_t room)
{
	const struct context c = {NULL, {problem, room}};
	json_t *o = parse_file(text, len, directory, &c.problem);
	const int err = o ? take_fresh(&c, o, out) : -EINVAL;

	json_decref(o);
	return err;
}

/* --- finding --- */

/* Reads and parses one file. 0, or -errno with what is wrong in `problem`. */
static int read_config(const char *path, json_t **out, const struct problem *problem)
{
	const char *slash = strrchr(path, '/');
	char *directory = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	char *text = NULL, inside[300] = "";
	size_t len = 0;
	int err = directory ? file_read(path, MAX_BYTES, &text, &len) : -ENOMEM;

	*out = NULL;
	if (!err) {
		*out = parse_file(text, len, directory, &(struct problem){inside, sizeof(inside)});
		err = *out ? 0 : -EINVAL;
	}
	if (err)
		problem_say(problem, "kubeconfig %.200s: %s", path,
			    *inside ? inside : strerror(-err));
	credentials_wipe(&text);
	free(directory);
	return err;
}

static int from_file(const char *path, struct credentials *out, char *problem, size_t room)
{
	char inside[300] = "";
	const struct context c = {NULL, {inside, sizeof(inside)}};
	json_t *o;
	int err = read_config(path, &o, &(struct problem){problem, room});

	if (err)
		return err;
	err = take_fresh(&c, o, out);
	if (err)
		snprintf(problem, room, "kubeconfig %.200s: %s", path, inside);
	json_decref(o);
	return err;
}

static int from_pod(const char *directory, struct credentials *out, char *problem, size_t room)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	const char *form = host && strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s";
	struct credentials c = {.insecure = false};
	char *path = NULL;
	size_t len;

	if (!host || !*host || !port || !*port) {
		snprintf(problem, room,
			 "neither KUBECONFIG nor KUBERNETES_SERVICE_HOST is set: run as a pod, or "
			 "set KUBECONFIG=FILE");
		return -ENOENT;
	}
	if (asprintf(&c.server, form, host, port) < 0)
		c.server = NULL;
	if (asprintf(&c.ca_file, "%s/ca.crt", directory) < 0)
		c.ca_file = NULL;
	if (asprintf(&c.token_file, "%s/token", directory) < 0)
		c.token_file = NULL;
	if (asprintf(&path, "%s/namespace", directory) < 0)
		path = NULL;
	if (!c.server || !c.ca_file || !c.token_file || !path) {
		credentials_fini(&c);
		free(path);
		return -ENOMEM;
	}
	if (access(c.token_file, R_OK) || access(c.ca_file, R_OK)) {
		snprintf(problem, room,
			 "no service account in %.200s: the pod needs automountServiceAccountToken",
			 directory);
		credentials_fini(&c);
		free(path);
		return -ENOENT;
	}
	if (file_read(path, 1024, &c.name_space, &len))
		c.name_space = NULL;
	free(path);
	*out = c;
	return 0;
}

int kubeconfig_find(const char *directory, struct credentials *out, char *problem, size_t room)
{
	const char *named = getenv("KUBECONFIG");
	char *first;
	int err;

	if (!named || !*named)
		return from_pod(directory, out, problem, room);
	first = strndup(named, strcspn(named, ":"));
	if (!first)
		return -ENOMEM;
	err = from_file(first, out, problem, room);
	free(first);
	return err;
}

/* --- the user's --- */

/* Adds what `from` has and `to` has not, as kubectl does: of two entries of one name the first one
 * counts. */
static int merge(json_t *to, json_t *from)
{
	static const char *const lists[] = {"contexts", "clusters", "users"};
	json_t *current = json_object_get(from, "current-context");
	const char *name = json_string_value(current);

	if (name && *name && !json_object_get(to, "current-context") &&
	    json_object_set(to, "current-context", current))
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		json_t *add = json_object_get(from, lists[i]), *all = json_object_get(to, lists[i]);

		if (!all) {
			all = json_array();
			if (json_object_set_new(to, lists[i], all))
				return -ENOMEM;
		}
		if (json_is_array(add) && json_array_extend(all, add))
			return -ENOMEM;
	}
	return 0;
}

/* Reads all files of a list with colons. Files that do not exist are left out; `found` counts the
 * others. */
static int merge_files(const char *list, json_t *whole, unsigned int *found,
		       const struct problem *problem)
{
	int err = 0;

	*found = 0;
	while (*list && !err) {
		const size_t n = strcspn(list, ":");
		char *path = strndup(list, n);
		json_t *one;

		list += n + (list[n] == ':');
		if (!path)
			return -ENOMEM;
		if (*path && (err = read_config(path, &one, problem)) == 0) {
			err = merge(whole, one);
			json_decref(one);
			++*found;
		}
		if (err == -ENOENT)
			err = 0;
		free(path);
	}
	return err;
}

/* The files to read, separated by colons. Allocated; NULL: there are none to look for. */
static char *files_of_user(const struct kubeconfig_choice *choice)
{
	const char *named = getenv("KUBECONFIG"), *home = getenv("HOME");
	char *path;

	if (choice->file)
		return strdup(choice->file);
	if (named && *named)
		return strdup(named);
	if (!home || !*home || asprintf(&path, "%s/.kube/config", home) < 0)
		return NULL;
	return path;
}

int kubeconfig_of_user(const struct kubeconfig_choice *choice, struct credentials *out,
		       char *problem, size_t room)
{
	char inside[300] = "", *files = files_of_user(choice);
	const struct context c = {choice->context, {inside, sizeof(inside)}};
	const char *named = getenv("KUBECONFIG");
	const bool asked = choice->file || choice->context || (named && *named);
	unsigned int found = 0;
	json_t *whole = json_object();
	int err = whole ? 0 : -ENOMEM;

	*problem = 0;
	if (!err && files)
		err = merge_files(files, whole, &found, &(struct problem){problem, room});
	if (!err && found) {
		err = take_fresh(&c, whole, out);
		if (err)
			snprintf(problem, room, "kubeconfig %.200s: %s", files, inside);
	} else if (!err && asked) {
		err = -ENOENT;
		snprintf(problem, room, "kubeconfig %.200s: no such file", files ? files : "");
	} else if (!err && from_pod(choice->directory, out, problem, room)) {
		err = -ENOENT;
		snprintf(
			problem, room,
			"there is no kubeconfig: needs %.200s, KUBECONFIG=FILE or --kubeconfig FILE",
			files ? files : "~/.kube/config");
	}
	if (err && !*problem)
		snprintf(problem, room, "%s", strerror(-err));
	json_decref(whole);
	free(files);
	return err;
}
