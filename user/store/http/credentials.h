/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server for HTTP requests, and the credentials for it. store/kubernetes/kubeconfig.h or a
 * store's URL fills it, store/http/rest.h uses it. Secrets are wiped when they are freed.
 */
#ifndef STORE_HTTP_CREDENTIALS_H
#define STORE_HTTP_CREDENTIALS_H

#include <curl/curl.h>
#include <stdbool.h>

/* All strings are allocated, PEM or plain text; NULL: none. Files are read again for each
 * connection or request, because certificates and tokens are replaced from time to time. */
struct credentials {
	char *server;	   /* "https://10.0.0.1:6443", maybe with a path behind it */
	char *server_name; /* the name in its certificate, if it is not the host of `server` */
	char *ca_file, *ca_data;
	char *cert_file, *cert_data, *key_file, *key_data;
	char *token, *token_file;
	char *user, *password; /* basic authentication */
	char *name_space;      /* of our pod, or of the kubeconfig's context */
	bool insecure;	       /* do not check the server's certificate */
};

void credentials_fini(struct credentials *c);
/* Sets TLS, client certificate and basic authentication of a request. Not the token, which has to
 * be read anew each time. */
void credentials_apply(const struct credentials *as, CURL *easy);
/* Frees and wipes one string, and sets it to NULL. */
void credentials_wipe(char **secret);

#endif
