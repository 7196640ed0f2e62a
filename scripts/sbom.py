#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sbom.py PROGRAM VERSION: prints what a program is made of, as SPDX 2.3 in JSON: the program, and each Debian package that
has a library which it is linked with, also indirectly. Run by `make sbom`.

The same program and the same libraries give the same document: its time is SOURCE_DATE_EPOCH, else that of the last commit.
"""
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from urllib.parse import quote

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def said(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def libraries(program):
    """The files that the dynamic linker would load."""
    return sorted(set(re.findall(r"(/\S+) \(0x", said("ldd", program))))


def package_of(library):
    """The Debian package that a file is from. dpkg may know it by a path before or after /lib became a link to /usr/lib."""
    real = os.path.realpath(library)
    for path in (real, library, real.removeprefix("/usr")):
        done = subprocess.run(["dpkg-query", "--search", path], capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.split(": ")[0]
    sys.exit(f"sbom: no Debian package has {library}, which the program is linked with")


def identifier(name):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)


def library_package(name):
    shown = said("dpkg-query", "--show", "--showformat",
                 "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n", name)
    package, version, architecture, source, source_version = shown.strip().split("\t")
    return {
        "SPDXID": identifier(package), "name": package, "versionInfo": version,
        "supplier": "Organization: Debian",
        "sourceInfo": f"built from the source package {source} {source_version}",
        "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                          "referenceLocator": f"pkg:deb/debian/{quote(package, safe='')}@{quote(version, safe='')}"
                                              f"?arch={architecture}"}],
    }


def document(program, version):
    with open(program, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    made = os.environ.get("SOURCE_DATE_EPOCH") or said("git", "log", "-1", "--format=%ct").strip()
    used = [library_package(name) for name in sorted({package_of(library) for library in libraries(program)})]
    ours = {
        "SPDXID": "SPDXRef-podveil", "name": "podveil", "versionInfo": version, "supplier": "Organization: Podveil",
        "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest}],
        "licenseConcluded": "NOASSERTION", "licenseDeclared": "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)",
        "copyrightText": "NOASSERTION",
    }
    return {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"podveil-{version}",
        "documentNamespace": f"https://podveil.io/spdx/podveil-{version}-{digest}",
        "creationInfo": {"created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(made))),
                         "creators": ["Tool: podveil-sbom"]},
        "packages": [ours, *used],
        "relationships": [
            {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-podveil"},
            *({"spdxElementId": "SPDXRef-podveil", "relationshipType": "DYNAMIC_LINK", "relatedSpdxElement": p["SPDXID"]}
              for p in used)],
    }


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    json.dump(document(os.path.abspath(sys.argv[1]), sys.argv[2]), sys.stdout, indent=1)
    print()
