# SPDX-License-Identifier: Apache-2.0
"""podveil doctor on healthy nodes and on one with problems."""
import json
import re
import subprocess

from agents import enable, write_record
from lab import PODVEIL, wait_for


def test_doctor(cluster):
    c, worker = cluster, cluster.nodes[1]
    out = worker.run([PODVEIL, "doctor"])
    assert "BAD" not in out and re.search(r"^ok +uplink +eth0, MTU 1500", out, re.M)
    enable(c)
    findings = {f["check"]: f for f in json.loads(worker.run([PODVEIL, "doctor", "--json"]))}
    assert findings["port"]["found"] == "51820 is in use; an agent runs on this machine"
    assert findings["agent"]["verdict"] == findings["wireguard.cali"]["verdict"] == "ok"
    sick = c.add_node()
    sick.run("ip link add wireguard.cali type vxlan id 9 dstport 9999 dev eth0; "
             "ip route del default; mount -t tmpfs tmpfs /sys/kernel/btf; "
             "sysctl -qw net.ipv4.conf.all.rp_filter=1")
    holder = sick.start(["python3", "-c", "import socket; s = socket.socket(socket.AF_INET6, "
                         "socket.SOCK_DGRAM); s.bind(('', 51820)); print('held', flush=True); input()"],
                        stdin=subprocess.PIPE)
    assert holder.stdout.readline() == "held\n"
    done = sick.run([PODVEIL, "doctor"], check=False)
    assert done.returncode == 1
    for line in (r"^BAD +wireguard.cali +a device of kind vxlan", r"^BAD +kernel types +no BTF",
                 r"^BAD +uplink +no default route", r"^BAD +port +51820 is in use"):
        assert re.search(line, done.stdout, re.M), done.stdout
    done = sick.run([PODVEIL, "doctor", "--uplink", "eth0"], check=False)
    assert re.search(r"^note +rp_filter", done.stdout, re.M), done.stdout
    # Problems outside the agent: a pod whose packets are too large, a firewall, a silent peer.
    c.configure(wireguardMTU=None)
    write_record(c, {"name": "silent", "ipv4": "172.18.0.99", "podCIDRs": ["10.99.0.0/24"],
                     "wireguardPublicKey": "/2SvAih31XdL9qORFXcuxgHFHHO9sDmv0WZqk4kssE0="})
    wait_for(lambda: len(worker.agent.status()["tunnels"][0]["peers"]) == 3, "the silent one")
    worker.run("ip link set cali1n2 mtu 1500; nft add table inet t; nft add chain inet t input "
               "'{ type filter hook input priority 0; policy accept; }'; "
               "nft add rule inet t input iifname \"nix\" udp dport 51800-51900 drop")
    out = worker.run([PODVEIL, "doctor"], check=False).stdout
    for line in (r"^note +MTU of pods +at most 1500, cali1n2; the tunnel has 1440",
                 r"^BAD +firewall +51820: .*udp dport 51800-51900 drop",
                 r"^note +peers +2 of 3 answered; no answer: silent"):
        assert re.search(line, out, re.M), out
    worker.run("nft delete table inet t; nft add table inet t; nft add chain inet t input "
               "'{ type filter hook input priority 0; policy drop; }'")
    out = worker.run([PODVEIL, "doctor"], check=False).stdout
    assert re.search(r"^note +firewall +51820: no rule accepts it, and: .*policy drop", out, re.M), out
    assert sick.run([PODVEIL, "doctor", "--what"], check=False).returncode == 2
