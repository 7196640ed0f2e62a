/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kubernetes/kubernetes_resource.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static const struct kubernetes_resource resources[] = {
	{"podveilconfigurations.podveil.io", "/apis/podveil.io/v1/podveilconfigurations",
	 "PodveilConfiguration", "podveil.io/v1", "/apis/crd.projectcalico.org/v1/ipamblocks"},
	{"felixconfigurations.crd.projectcalico.org",
	 "/apis/crd.projectcalico.org/v1/felixconfigurations", "FelixConfiguration",
	 "crd.projectcalico.org/v1", "/apis/crd.projectcalico.org/v1/ipamblocks"},
	{"felixconfigurations.projectcalico.org", "/apis/projectcalico.org/v3/felixconfigurations",
	 "FelixConfiguration", "projectcalico.org/v3", "/apis/projectcalico.org/v3/ipamblocks"},
};

const struct kubernetes_resource *kubernetes_resource(const char *name)
{
	if (!name)
		return &resources[0];
	for (size_t i = 0; i < sizeof(resources) / sizeof(*resources); i++)
		if (!strcmp(name, resources[i].name))
			return &resources[i];
	return NULL;
}

const struct kubernetes_resource *kubernetes_resource_of_store(const char *where)
{
	const struct kubernetes_resource *r = NULL;
	char names[300];

	if (!*where || *where == ':')
		r = kubernetes_resource(*where ? where + 1 : NULL);
	if (!r)
		log_error("no such resource for settings",
			  "store=kubernetes%s needs=\"kubernetes:%s\"", where,
			  kubernetes_resource_names(names));
	return r;
}

const char *kubernetes_resource_names(char out[300])
{
	snprintf(out, 300, "%s, %s or %s", resources[0].name, resources[1].name, resources[2].name);
	return out;
}
