/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The address of a Kubernetes API server, and the credentials for it: from a kubeconfig file, or
 * from the service account that every pod has. Pure, except that it reads files.
 */
#ifndef STORE_KUBERNETES_KUBECONFIG_H
#define STORE_KUBERNETES_KUBECONFIG_H

#include <stddef.h>

#include "store/http/credentials.h"

#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"

/* The current context of a kubeconfig (YAML or JSON): server, CA, client certificate, token, user
 * and password; paths in it are relative to `directory`. 0, or -EINVAL with what is wrong and what
 * would be right in `problem`. */
int kubeconfig_parse(const char *text, size_t len, const char *directory, struct credentials *out,
		     char *problem, size_t room);

/* Reads the first file of $KUBECONFIG if that is set, else the pod's service account below
 * `directory` (SERVICE_ACCOUNT). 0, or -errno with what is wrong in `problem`; -ENOENT: there is
 * neither. */
int kubeconfig_find(const char *directory, struct credentials *out, char *problem, size_t room);

/* What somebody who types a command has chosen. */
struct kubeconfig_choice {
	const char *file; /* --kubeconfig; may be several, separated by colons. NULL: not given */
	const char *context;   /* NULL: current-context */
	const char *directory; /* of the pod's service account: SERVICE_ACCOUNT */
};

/* Reads what kubectl would read: `file`, else all files of $KUBECONFIG, else ~/.kube/config, else
 * the pod's service account. Several files are merged as kubectl does it. As above. */
int kubeconfig_of_user(const struct kubeconfig_choice *choice, struct credentials *out,
		       char *problem, size_t room);

#endif
