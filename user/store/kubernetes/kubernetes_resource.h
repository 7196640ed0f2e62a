/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of Kubernetes object that can hold settings: ours, and Calico's in its two API groups. */
#ifndef STORE_KUBERNETES_KUBERNETES_RESOURCE_H
#define STORE_KUBERNETES_KUBERNETES_RESOURCE_H

struct kubernetes_resource {
	const char *name; /* plural.group */
	const char *path; /* of the settings */
	const char *kind, *api_version;
	const char *blocks; /* path of Calico's IPAM blocks beside it */
};

/* The resource of this name, NULL: the usual one. NULL if there is no such resource. */
const struct kubernetes_resource *kubernetes_resource(const char *name);
/* The same from a store's name: `where` is what follows "kubernetes" in it, "" or ":NAME". NULL:
 * there is no such resource, which is logged. */
const struct kubernetes_resource *kubernetes_resource_of_store(const char *where);
/* Their names, for a message. */
const char *kubernetes_resource_names(char out[300]);

#endif
