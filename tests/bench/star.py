# SPDX-License-Identifier: Apache-2.0
"""One device with many real peers that all carry traffic.

Node b runs a process for each peer, with its own device, key and port. Pod b has an address for each peer; what it sends
from that address goes through that peer's device. On node a, all of them are peers of the one device that is measured.
"""
from contenders import Contender, command, sink
from lab import PORT, Device
from measures import flood

TABLE = 1000  # routing table of the first peer


class Star(Contender):
    """The contender's own peer is the first; `addresses` are pod b's addresses, one for each peer."""

    def __init__(self, name, peers):
        super().__init__(name)
        self.addresses = [f"10.3.{i}.2" for i in range(peers)]
        try:
            words, arguments = command(name)
            for i in range(peers):
                self._join(i, Device(self.lab.b, words, name=f"p{i}", arguments=[*arguments, "--workers", "1"]))
            sink(self.lab, *self.addresses)
            if not flood(self, self.addresses, 1)[1]:
                raise AssertionError("a peer carries no traffic")
        except BaseException:
            self.close()
            raise

    def _join(self, i, device):
        lab, hub, address, port, table = self.lab, self.devices[0], self.addresses[i], PORT + 1 + i, TABLE + i
        mtu = lab.mtu - 60
        device.set("listen-port", port, "fwmark", "0x200000", "peer", hub.public,
                   "endpoint", lab.endpoint(1), "allowed-ips", "10.0.1.0/24")
        hub.set("peer", device.public, "endpoint", f"172.18.0.2:{port}", "allowed-ips", f"{address}/32")
        lab.pod_b.run(f"ip addr add {address}/32 dev eth0")
        lab.b.run(f"ip link set {device.name} mtu {mtu} up && ip route add {address}/32 dev cali0 && "
                  f"ip route add 10.0.1.0/24 dev {device.name} table {table} && "
                  f"ip rule add from {address} iif cali0 lookup {table}")
        lab.a.run(f"ip route add {address}/32 dev {hub.name}")
