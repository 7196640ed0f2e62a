#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# deb.sh VERSION OUT: builds OUT/podveil_VERSION_ARCHITECTURE.deb with Debian's tools, in a copy of the tree, OUT/source.
# What was built there before is used again. Run by `make deb`.
set -eu
# Variables given to our make are not meant for the make below Debian's tools.
unset MAKEFLAGS MFLAGS MAKELEVEL
cd "$(dirname "$0")/.."
version=$1
mkdir -p "$2"
out=$(realpath "$2")
source=$out/source

mkdir -p "$source"
find "$source" -mindepth 1 -maxdepth 1 ! -name build -exec rm -rf {} +
find . \( -path ./build -o -path ./.git -o -name __pycache__ \) -prune -o -type f -print0 |
	tar --create --null --files-from - | tar --extract --directory "$source"
sed -i "1s/(.*)/($version)/" "$source/debian/changelog"

rm -f "$out"/podveil*.deb
(cd "$source" && dpkg-buildpackage --build=binary --no-pre-clean --no-sign) > "$out/log" 2>&1 || {
	cat "$out/log" >&2
	exit 1
}
