#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds helm from its Go module in build/helm, for the tests of the chart. Builds again only if the version has changed.
# Run by `make deps-helm`.
set -eu
cd "$(dirname "$0")/.."
. scripts/packages.sh
HELM=v3.22.0
BIN=$PWD/build/helm

if [ "$(cat "$BIN/.version" 2>/dev/null)" = "$HELM" ]; then
	exit
fi
find_go
echo "deps: building helm $HELM from its Go module"
CGO_ENABLED=0 GOTOOLCHAIN=local GOBIN=$BIN "$go" install -trimpath -ldflags "-s -w" "helm.sh/helm/v3/cmd/helm@$HELM"
echo "$HELM" > "$BIN/.version"
