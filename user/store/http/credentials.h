/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom to talk to over HTTP, and as whom. Filled by store/kubernetes/kubeconfig.h or from a store's URL, used
 * by store/http/rest.h. Secrets are wiped when they are freed.
 */
#ifndef STORE_HTTP_CREDENTIALS_H
#define STORE_HTTP_CREDENTIALS_H

#include <curl/curl.h>
#include <stdbool.h>

/* All strings allocated, PEM or plain text; NULL: none. Files are read again for each connection or
 * request, because whoever rolls certificates and tokens replaces them. */
struct credentials {
	char *server;	   /* "https://10.0.0.1:6443" or with a path behind it */
	char *server_name; /* that its certificate has, where it is not the host in `server` */
	char *ca_file, *ca_data;
	char *cert_file, *cert_data, *key_file, *key_data;
	char *token, *token_file;
	char *user, *password; /* basic authentication */
	char *name_space;      /* of the pod that we are, or of the kubeconfig's context */
	bool insecure;	       /* the server's certificate is not looked at */
};

void credentials_fini(struct credentials *c);
/* TLS, client certificate and basic authentication of a request; not the token, which has to be
 * fresh. */
void credentials_apply(const struct credentials *as, CURL *easy);
/* Frees and wipes one string, and sets it to NULL. */
void credentials_wipe(char **secret);

#endif
