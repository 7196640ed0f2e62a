/* SPDX-License-Identifier: Apache-2.0 */
/* Where an HTTP server listens, and who may see all of it, as text: "ADDRESS:PORT", "[ADDRESS]:PORT"
 * or ":PORT" (on all addresses), with or without ",full". Pure. */
#ifndef HTTP_ADDRESS_H
#define HTTP_ADDRESS_H

#include <stdbool.h>

#define HTTP_ADDRESS 64 /* bytes of an address as text, with its end */

bool http_address_valid(const char *text);
/* Does it say ",full": everybody may see all documents? */
bool http_address_full(const char *text);
/* Splits "192.0.2.1:9586,full" into address and port (host byte order). The address is empty for
 * ":9586", and without brackets for "[::1]:9586". False: `text` is not valid. */
bool http_address_split(const char *text, char address[HTTP_ADDRESS], unsigned short *port);

#endif
