"""A liar on a local network: announces, in the names of members, ports of its own host at which nobody answers, a thousand a
second.

It says on its standard output which hosts it heard speak multicast DNS, and when it told so many lies:

    python -m tests.processes.lan_liar ADDRESS CHAIN_ID ID...
"""

from __future__ import annotations

import contextlib
import ipaddress
import sys
import time

from learningchain.chain.crypto import parse_address
from learningchain.p2p import mdns
from learningchain.p2p.lan import interfaces, open_socket

AT_ONCE, EVERY_S = 50, 0.05
LIES = 10_000


def main(own: str, chain_id: str, *ids: str) -> None:
    host = ipaddress.IPv4Address(own)
    (interface,) = interfaces(host)
    sock = open_socket(interface)
    names = [parse_address(one) for one in ids]
    heard, told = {own}, 0
    while True:
        for _ in range(AT_ONCE):
            lie = mdns.Announcement(bytes.fromhex(chain_id), names[told % len(names)], 1 + told % 65_535)
            sock.sendto(mdns.announcement(lie, host), (mdns.GROUP, mdns.PORT))
            told += 1
            if told == LIES:
                print(f"lies {told}", flush=True)
        with contextlib.suppress(BlockingIOError):
            while True:
                _, (source, _) = sock.recvfrom(mdns.MAX_PACKET)
                if source not in heard:
                    heard.add(source)
                    print(f"heard {source}", flush=True)
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main(*sys.argv[1:])
