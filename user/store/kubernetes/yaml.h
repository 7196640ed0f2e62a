/* SPDX-License-Identifier: Apache-2.0 */
/* YAML as the JSON value that it stands for: mappings, sequences and strings. libyaml's events,
 * made into jansson's values. Pure. */
#ifndef STORE_KUBERNETES_YAML_H
#define STORE_KUBERNETES_YAML_H

#include <jansson.h>
#include <stddef.h>

/* The first document. Every scalar is a string, but for plain `true`, `false` and `null`. Aliases
 * and keys that are no scalars are refused. NULL: `problem` says what and on which line. */
json_t *yaml_parse(const char *text, size_t len, char *problem, size_t room);

#endif
