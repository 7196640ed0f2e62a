# SPDX-License-Identifier: Apache-2.0
"""The command blocks of the pages, and which tests run them.

A comment before each block says where it runs, such as `<!-- run: lab -->`; PLACES lists the places. A block with prompts
(`# `, or `NODE# `) is a session: commands and their output. Any other block is a script, which runs exactly as printed.
"""
import glob
import os
import re
from collections import namedtuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Where a block runs, and the test file that runs all blocks of that place.
PLACES = {
    "nowhere": None,  # a picture: no commands
    "lab": "tests/e2e/test_doc_commands.py",  # a node of the lab, while all nodes encrypt
    "lab in plain": "tests/e2e/test_doc_commands.py",  # a node of the lab, before encryption is switched on
    "lab with faults": "tests/e2e/test_doc_commands.py",  # the same, with a firewall in the way and too large an MTU in a pod
    "machine": "tests/e2e/test_doc_commands.py",  # this machine, with deploy/lab/lab
    "standalone": "tests/e2e/test_doc_commands.py",  # three nodes that have no agent yet
    "etcd": "tests/e2e/test_doc_commands.py",  # a host with an etcd that has no users yet
    "host": "tests/e2e/test_doc_commands.py",  # an empty host
    "make": "tests/e2e/test_doc_commands.py",  # this machine; of slow targets, the test only asks whether make knows them
    "demo": "tests/e2e/test_lab.py",  # no commands to type, but the output of make demo
    "api server": "tests/kubernetes/test_doc_commands_api.py",  # Kubernetes' API server, without nodes
    "helm": "tests/kubernetes/test_helm.py",  # the same, with helm
    "kubernetes": "tests/kubernetes/test_cluster.py",  # a real cluster of three nodes
    "kubernetes with calico-node": "tests/kubernetes/test_cluster.py",  # the same, with a DaemonSet of that name
}

Block = namedtuple("Block", "page line place text")


def pages():
    found = ["README.md", "CONTRIBUTING.md", "SECURITY.md", *glob.glob("docs/**/*.md", root_dir=ROOT, recursive=True),
             *glob.glob("deploy/**/README*", root_dir=ROOT, recursive=True)]
    return sorted(found)


def blocks(place=None):
    """All blocks, or those of a place. A block's place is None if no comment says where it runs."""
    found = []
    for page in pages():
        with open(os.path.join(ROOT, page)) as f:
            lines = f.read().split("\n")
        begin = None
        for i, line in enumerate(lines):
            if not line.startswith("```"):
                continue
            if begin is None:
                begin = i
                continue
            says = re.fullmatch(r"<!-- run: (.*) -->", lines[begin - 1] if begin else "")
            found.append(Block(page, begin + 1, says and says[1], "\n".join(lines[begin + 1:i]) + "\n"))
            begin = None
    return [b for b in found if place is None or b.place == place]


def name(block):
    return f"{block.page}:{block.line}"


Command = namedtuple("Command", "host text output")
PROMPT = re.compile(r"^([a-z][a-z0-9-]*)?# (.*)$")


def session(block, host):
    """The commands of a block with prompts, each with the output that the page shows."""
    commands = []
    for line in block.text.rstrip("\n").split("\n"):
        prompt = PROMPT.match(line)
        if prompt:
            commands.append(Command(prompt[1] or host, prompt[2], []))
        elif commands:
            commands[-1].output.append(line)
    return commands


def is_session(block):
    return any(PROMPT.match(line) for line in block.text.split("\n"))


def shape(line):
    """The line without what differs from run to run: numbers, keys, sizes and column widths."""
    line = re.sub(r'"[A-Za-z0-9+/]{3,43}(=|\.\.\.)"', '"KEY"', line)
    line = re.sub(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{42,43}=", "KEY", line)
    line = re.sub(r"\bdir:\S+", "dir:PATH", line)
    line = re.sub(r"(podveil-verify-)[0-9a-f]+", r"\1N", line)
    line = re.sub(r"(ok +kernel +)\S+", r"\1N", line)
    line = re.sub(r"\b(avx512|avx2|ipsec-mb|openssl|libsodium)\b", "CIPHER", line)
    line = re.sub(r"\b(0x)?[0-9][0-9a-f]*(\.[0-9]+)*\b", "N", line)
    line = re.sub(r"\b(N,)+N\b", "N", line)
    line = re.sub(r"\bN ([KMG]i)?B\b", "SIZE", line)
    return " ".join(line.split())


def missing(command, printed):
    """The first line that a page shows and the command did not print, in order; None if all were printed. `...` matches any
    lines."""
    rest = [shape(line) for line in printed.split("\n")]
    for line in command.output:
        wanted = shape(line)
        if wanted in ("...", ""):
            continue
        if wanted not in rest:
            return line
        del rest[:rest.index(wanted) + 1]
    return None
