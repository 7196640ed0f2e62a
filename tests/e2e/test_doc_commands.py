# SPDX-License-Identifier: Apache-2.0
"""Each command in README and docs/ runs exactly as printed there, and its output has the shape that they show."""
import glob
import os
import re
import subprocess

import pytest

import doc_commands
import workload
from cluster import Cluster
from etcd import Etcd
from hosts import PODVEIL, ROOT, Failed, Host, wait_for

PATH = os.path.dirname(PODVEIL) + ":" + os.environ["PATH"]

# Commands that take too long here, or need what this machine lacks. The third member makes from such a command one that only
# checks that it exists: `make -n` fails if a target or one of its sources does not exist.
ONLY_ASKED_FOR = [
    (r"make( [a-z-]+)?( [A-Z]+=.*)?", "builds, or runs suites and measurements", lambda text: text.replace("make", "make -n", 1)),
    (r"python3 -m pytest .*", "a test that the suites run", lambda text: text + " --collect-only"),
]


def of(place):
    return pytest.mark.parametrize("block", doc_commands.blocks(place), ids=doc_commands.name)


def test_every_block_is_run():
    """Each block has a comment that says where it runs, and a test runs all blocks of that place."""
    assert len(doc_commands.blocks()) > 20
    for block in doc_commands.blocks():
        assert block.place in doc_commands.PLACES, f"{doc_commands.name(block)}: no <!-- run: PLACE --> before it, or no such place"
        tests = doc_commands.PLACES[block.place]
        if tests:
            with open(os.path.join(ROOT, tests)) as f:
                assert re.search(rf'\b(of|blocks)\("{block.place}"\)', f.read()), f"{tests} runs none of: {block.place}"
        else:
            assert not re.search(r"^(# |\$ |make|podveil|kubectl)", block.text, re.M), f"{doc_commands.name(block)} has commands"


# --- on this machine ---

def shell(text, **environment):
    """Runs text in a shell; returns (exit code, output)."""
    # As for a user, without the variables of the `make check` that runs this test.
    own = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(["bash", "-ec", text], cwd=ROOT, env={**own, "PATH": PATH, **environment}, text=True,
                          timeout=120, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def alternative(text):
    """The command that only checks this one (ONLY_ASKED_FOR); or the command itself, if it can run here."""
    for pattern, _, ask in ONLY_ASKED_FOR:
        if re.fullmatch(pattern, text):
            return ask(text)
    return text


@of("make")
def test_make(block):
    for line in block.text.splitlines():
        for command in line.split(" #")[0].strip().split(" && "):
            code, out = shell(alternative(command))
            assert code == 0, f"{doc_commands.name(block)}: {command}\n{out}"


@of("machine")
def test_machine(block, tmp_path):
    state = str(tmp_path / "lab.json")
    try:
        code, out = shell(block.text, PODVEIL_LAB_STATE=state)
        assert code == 0 and out.endswith("down\n"), out
        assert ("ipv4: off" if "podveil status" in block.text else "/podveil/nodes/wireguard-worker2") in out
    finally:
        shell("deploy/lab/lab down || true", PODVEIL_LAB_STATE=state)


# --- on a node of the lab ---

@pytest.fixture(scope="module")
def lab():
    """The cluster that `deploy/lab/lab up` makes."""
    with Cluster() as c:
        client, server = c.pod(c.nodes[1], "frontend-client"), c.pod(c.nodes[2], "backend-api")
        for node in c.nodes:
            c.start_agent(node)
        workload.backend(server)
        frontend = workload.frontend(client, server.address)
        assert frontend.stdout.readline()
        # Read and drop the rest of its output, so that it does not block.
        subprocess.Popen(["cat"], stdin=frontend.stdout, stdout=subprocess.DEVNULL)
        yield c


@pytest.fixture
def in_plain(lab):
    lab.podveil("disable")
    # Wait until the devices are gone too: a lingering device may have a session at once when encryption is switched on again.
    wait_for(lambda: all(t["state"] == "off" for n in lab.nodes for t in n.agent.status()["tunnels"]),
             "nothing is encrypted, and no device is left", 40)
    yield lab


@pytest.fixture
def encrypting(lab):
    lab.podveil("enable")
    wait_for(lab.encrypted, "all nodes encrypt")
    yield lab


@pytest.fixture
def faulty(in_plain):
    """On worker2, a firewall is in the way; on worker, a pod's packets are too large."""
    c = in_plain
    c.nodes[2].run("nft add table ip filter && nft add chain ip filter input '{ type filter hook input priority 0; }' && "
                   "nft add rule ip filter input udp dport 51820 drop")
    c.nodes[1].run("ip link set cali1n2 mtu 1500")
    c.podveil("enable")
    wait_for(lambda: c.encrypted(c.nodes[:2]), "the two others encrypt")
    yield c
    c.nodes[1].run("ip link set cali1n2 mtu 1440")
    c.nodes[2].run("nft delete table ip filter")


def run_session(c, block):
    for command in doc_commands.session(block, "wireguard-worker"):
        def shows():
            done = c.node(command.host).run(["bash", "-c", command.text], check=False,
                                            env={"PATH": PATH, "PODVEIL_STORE": c.store_url})
            printed = done.stdout + done.stderr
            line = doc_commands.missing(command, printed)
            if line is None and (command.output or not done.returncode):
                return True
            last.append(f"{doc_commands.name(block)}: {command.text}\nlacks: {line}\nprints:\n{printed}")
            return False
        last = []
        try:
            wait_for(shows, command.text)
        except Failed:
            pytest.fail(last[-1])


@of("lab in plain")
def test_lab_in_plain(block, in_plain):
    run_session(in_plain, block)


@of("lab with faults")
def test_lab_with_faults(block, faulty):
    run_session(faulty, block)


@of("lab")
def test_lab(block, encrypting):
    run_session(encrypting, block)


# --- without the lab's agents ---

def test_standalone():
    """The pages' agent command works on one of three nodes, with the store where the pages say. Then the pages' commands switch
    encryption on and off."""
    begin = [b for b in doc_commands.blocks("standalone") if b.text.startswith("podveil agent")]
    switches = [b for b in doc_commands.blocks("standalone") if b not in begin]
    assert len(begin) == 2 and len({b.text for b in begin}) == 1 and len(switches) == 2
    with Cluster() as c:
        os.makedirs(c.store)
        for node in c.nodes:
            node.run(f"mkdir -p /var/lib/podveil/store && mount --bind {c.store} /var/lib/podveil/store")
        c.store_url = "dir:/var/lib/podveil/store"
        control, node, other = c.nodes
        log = open(os.path.join(c.directory.name, "log"), "w+")
        node.start(["bash", "-c", begin[0].text], env={"PATH": PATH}, stdout=log, stderr=log)
        for n in (control, other):
            c.start_agent(n)

        def encrypts():
            return "10.244.1.0/24 dev wireguard.cali" in other.run("ip route show table 1", check=False).stdout

        def run(text):
            assert control.run(["bash", "-ec", text], env={"PATH": PATH, "PODVEIL_STORE": c.store_url})
        for block in switches:
            lines = [line for line in block.text.splitlines() if line]
            run(lines[0])
            wait_for(encrypts, f"{doc_commands.name(block)}: all nodes encrypt")
            for line in lines[1:] or ["podveil disable"]:
                run(line)
            wait_for(lambda: not encrypts(), f"{doc_commands.name(block)}: and stops")


@of("etcd")
def test_etcd(block, tmp_path):
    """Podveil can use the etcd user that the pages create."""
    with Host("etcd") as host:
        etcd = Etcd(host, str(tmp_path), "127.0.0.1", secure=False)
        host.run(["bash", "-ec", block.text], env=etcd.admin)
        host.run("etcdctl user add root:x && etcdctl user grant-role root root && etcdctl auth enable", env=etcd.admin)
        enable = [PODVEIL, "enable", "--store", f"etcd:{etcd.url}"]
        assert host.run(enable, env={"ETCDCTL_USER": "podveil:PASSWORD"}) == "wireguardEnabled: true for the cluster\n"


@of("host")
def test_host(block):
    with Host("host") as host:
        host.run("ip link add eth0 type veth peer name cable && ip addr add 172.18.0.3/16 dev eth0 && ip link set cable up && "
                 "ip link set eth0 up && mkdir -p /etc/wireguard && mount -t tmpfs tmpfs /etc/wireguard && "
                 "wg genkey > /etc/wireguard/key")
        out = host.run(["bash", "-ec", block.text], env={"PATH": PATH})
        for line in ("interface: wg0", "listening port: 51820", "fwmark: 0x200000", "allowed ips: 10.0.2.0/24"):
            assert line in out, out
        assert host.run("ip link show wg0", check=False).returncode, "nothing is left"


# --- what pages point to ---

def anchors(page):
    """GitHub's anchors for the headings of a page."""
    with open(os.path.join(ROOT, page)) as f:
        titles = [line.lstrip("#").strip() for line in f if re.match(r"#+ ", line)]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", doc_commands.pages())
def test_links_in_pages_are_valid(page):
    """The targets of a page's links exist, with their headings, and so do the files that the text names."""
    with open(os.path.join(ROOT, page)) as f:
        text = re.sub(r"^```.*?^```", "", f.read(), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        to, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(page), to)) if to else page
        assert os.path.exists(os.path.join(ROOT, target)), f"{page}: {link}"
        assert not anchor or anchor in anchors(target), f"{page}: {link}"
    for named in re.findall(r"`((?:user|bpf|include|deploy|tests|scripts|docs)/[\w./-]+)`", text):
        assert os.path.exists(os.path.join(ROOT, named)), f"{page}: {named}"


@pytest.mark.parametrize("page", doc_commands.pages())
def test_commands_in_the_text_are_valid(page):
    """The subcommands and options of podveil and the make targets that a page names between backticks exist."""
    with open(os.path.join(ROOT, page)) as f:
        text = re.sub(r"^```.*?^```", "", f.read(), flags=re.M | re.S)
    for subcommand, rest in re.findall(r"`podveil ([a-z]+)([^`|)]*)", text):
        code, usage = shell(f"podveil {subcommand} --help")
        assert code == 0, f"{page}: podveil {subcommand}"
        for option in re.findall(r"--[A-Za-z0-9-]+", rest):
            assert re.search(rf"{option}\b", usage), f"{page}: podveil {subcommand} {option}"
    for arguments in re.findall(r"`make ([^`]+)`", text):
        code, out = shell(f"make -n {arguments}")
        assert code == 0, f"{page}: make {arguments}\n{out}"


def test_every_key_has_the_same_shape():
    """A key may begin with + or /, which are no letters of a word."""
    for first in "+/aZ9":
        assert doc_commands.shape(f"  public key: {first}{'k+/' * 14}=") == "public key: KEY"


def test_explained_messages_exist_in_the_code():
    """The messages of log and commands that docs/troubleshooting.md explains are in the code."""
    code = ""
    for path in glob.glob(os.path.join(ROOT, "user/**/*.c"), recursive=True):
        with open(path) as f:
            code += re.sub(r'"\s*\n\s*"', "", f.read())
    with open(os.path.join(ROOT, "docs/troubleshooting.md")) as f:
        seen = [line.split("|")[1] for line in f.read().split("| what you see |")[1].splitlines() if line.startswith("|")]
    texts = [text for cell in seen for text in re.findall(r"`([^`]+)`", cell)]
    assert len(texts) > 20
    for text in texts:
        begin = re.split(r"\.\.\.| \w+=|[:(] ?| N\b| at /", text)[0].strip()
        for part in re.findall(r'step="([^("]*)', text) or [begin]:
            assert part.strip() in code, f"docs/troubleshooting.md: {text}"
