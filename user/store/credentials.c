/* SPDX-License-Identifier: Apache-2.0 */
#include "store/credentials.h"

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
