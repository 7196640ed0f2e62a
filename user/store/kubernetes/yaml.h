/* SPDX-License-Identifier: Apache-2.0 */
/* Converts YAML (mappings, sequences, strings) to JSON: libyaml's events to jansson's values.
 * Pure. */
#ifndef STORE_KUBERNETES_YAML_H
#define STORE_KUBERNETES_YAML_H

#include <jansson.h>
#include <stddef.h>

/* Parses the first document. Every scalar becomes a string, except plain `true`, `false` and
 * `null`. Aliases and keys that are no scalars are refused. NULL: `problem` says what is wrong, and
 * on which line. */
json_t *yaml_parse(const char *text, size_t len, char *problem, size_t room);

#endif
