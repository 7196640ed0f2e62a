# SPDX-License-Identifier: Apache-2.0
"""The command blocks of the pages, and what runs them.

A comment before each block says where it runs, such as `<!-- run: lab -->`; PLACES names them. A block with prompts (`# `,
or `NODE# `) is a session: commands, and what they print. Any other one is a script, run as it stands.
"""
import glob
import os
import re
from collections import namedtuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Where a block runs, and the file of the tests that run all blocks of that place.
PLACES = {
    "nowhere": None,  # a picture, without commands
    "lab": "tests/e2e/test_doc_commands.py",  # a node of the lab, while all nodes encrypt
    "lab in plain": "tests/e2e/test_doc_commands.py",  # the same, before encryption is switched on
    "lab with faults": "tests/e2e/test_doc_commands.py",  # the same; a firewall is in the way, and a pod's MTU is too large
    "machine": "tests/e2e/test_doc_commands.py",  # this one: deploy/lab/lab
    "standalone": "tests/e2e/test_doc_commands.py",  # three nodes, without an agent yet
    "etcd": "tests/e2e/test_doc_commands.py",  # a host with an etcd that has no users yet
    "host": "tests/e2e/test_doc_commands.py",  # one without anything
    "make": "tests/e2e/test_doc_commands.py",  # this machine; what takes too long, make is only asked for
    "demo": "tests/e2e/test_lab.py",  # not typed: what make demo prints
    "api server": "tests/kubernetes/test_doc_commands_api.py",  # of Kubernetes, without nodes
    "kubernetes": "tests/kubernetes/test_cluster.py",  # a real cluster of three nodes
}

Block = namedtuple("Block", "page line place text")


def pages():
    found = ["README.md", "CONTRIBUTING.md", "SECURITY.md", *glob.glob("docs/**/*.md", root_dir=ROOT, recursive=True),
             *glob.glob("deploy/**/README*", root_dir=ROOT, recursive=True)]
    return sorted(found)


def blocks(place=None):
    """All blocks, or those of a place; place None: nothing says where it runs."""
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
    """The commands of a block with prompts, each with the lines that it is said to print."""
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
    """What stays the same from run to run: no numbers, keys, sizes or columns' widths."""
    line = re.sub(r'"[A-Za-z0-9+/]{3,43}(=|\.\.\.)"', '"KEY"', line)
    line = re.sub(r"\b[A-Za-z0-9+/]{42,43}=", "KEY", line)
    line = re.sub(r"\bdir:\S+", "dir:PATH", line)
    line = re.sub(r"(podveil-verify-)[0-9a-f]+", r"\1N", line)
    line = re.sub(r"(ok +kernel +)\S+", r"\1N", line)
    line = re.sub(r"\b(avx512|avx2|ipsec-mb|openssl|libsodium)\b", "CIPHER", line)
    line = re.sub(r"\b(0x)?[0-9][0-9a-f]*(\.[0-9]+)*\b", "N", line)
    line = re.sub(r"\b(N,)+N\b", "N", line)
    line = re.sub(r"\bN ([KMG]i)?B\b", "SIZE", line)
    return " ".join(line.split())


def missing(command, printed):
    """Which line of those that a page shows was not printed, in their order; None: all were. `...` stands for any lines."""
    rest = [shape(line) for line in printed.split("\n")]
    for line in command.output:
        wanted = shape(line)
        if wanted in ("...", ""):
            continue
        if wanted not in rest:
            return line
        del rest[:rest.index(wanted) + 1]
    return None
