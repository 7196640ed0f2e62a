/* SPDX-License-Identifier: Apache-2.0 */
#include "store/http/credentials.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

void credentials_wipe(char **secret)
{
	if (*secret)
		sodium_memzero(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
}

void credentials_fini(struct credentials *c)
{
	char **const all[] = {
		&c->server,    &c->server_name, &c->ca_file,	&c->ca_data, &c->cert_file,
		&c->cert_data, &c->key_file,	&c->key_data,	&c->token,   &c->token_file,
		&c->user,      &c->password,	&c->name_space,
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		credentials_wipe(all[i]);
}

static void set_blob(CURL *easy, CURLoption option, char *pem)
{
	struct curl_blob blob = {pem, strlen(pem), CURL_BLOB_COPY};

	curl_easy_setopt(easy, option, &blob);
}

void credentials_apply(const struct credentials *as, CURL *easy)
{
	if (as->ca_data)
		set_blob(easy, CURLOPT_CAINFO_BLOB, as->ca_data);
	else if (as->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, as->ca_file);
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
	if (as->cert_data)
		set_blob(easy, CURLOPT_SSLCERT_BLOB, as->cert_data);
	else if (as->cert_file)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, as->cert_file);
	if (as->key_data)
		set_blob(easy, CURLOPT_SSLKEY_BLOB, as->key_data);
	else if (as->key_file)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, as->key_file);
	if (as->insecure) {
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (as->user) {
		curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(easy, CURLOPT_USERNAME, as->user);
		curl_easy_setopt(easy, CURLOPT_PASSWORD, as->password ? as->password : "");
	}
}
