#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bundle.sh PROGRAM OUT: the program and every library that it is linked with, as a root file system. Where there is
# dpkg, the packages that they come from are written to /var/lib/dpkg/status.d, where scanners look for them.
set -eu
program=$1 out=$2
mkdir -p "$out/usr/sbin" "$out/usr/share/doc/podveil" "$out/run" "$out/var/lib/dpkg/status.d" "$out/etc" "$out/tmp"
ln -s /run "$out/var/run"
cp "$program" "$out/usr/sbin/podveil"
for linker in /lib64/ld-linux-*.so.2 /lib/ld-linux-*.so.1; do
	if [ -e "$linker" ]; then
		break
	fi
done
for file in $("$linker" --list "$program" | sed -n 's/^.*[	 ]\(\/[^ ]*\) (0x[0-9a-f]*)$/\1/p'); do
	mkdir -p "$out${file%/*}"
	cp -L "$file" "$out$file"
	if command -v dpkg-query >/dev/null; then
		real=$(readlink -f "$file")
		package=$(dpkg-query -S "$real" "$file" 2>/dev/null | sed -n '1s/: .*//p')
		if [ -n "$package" ]; then
			dpkg-query -s "$package" > "$out/var/lib/dpkg/status.d/${package%%:*}"
		fi
	fi
done
"$linker" --list "$out/usr/sbin/podveil" >/dev/null
