"""Ways out of the container by a socket."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct

from .kit import HELD, attempt, case, held, must, params

PLACES = (("1.1.1.1", 53), ("169.254.169.254", 80), ("172.17.0.1", 2375), ("127.0.0.1", 2375))


@case("network", HELD, sampled=True)
def inet_stream() -> None:
    """TCP over IPv4: outside, the cloud's metadata, the bridge, loopback"""
    for place in PLACES:
        attempt(f"tcp {place}", lambda place=place: socket.socket(socket.AF_INET).connect(place))
    held()


@case("network", HELD)
def inet_datagram() -> None:
    """UDP over IPv4, also by broadcast and multicast"""
    for host in ("1.1.1.1", "255.255.255.255", "224.0.0.251"):
        attempt(f"udp {host}", lambda host=host: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (host, 53)))
    held()


@case("network", HELD)
def inet6() -> None:
    """TCP and UDP over IPv6, link-local and mapped addresses"""
    for host in ("2606:4700:4700::1111", "::1", "::ffff:1.1.1.1", "ff02::1"):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            attempt(f"{kind!r} {host}", lambda kind=kind, host=host: socket.socket(socket.AF_INET6, kind).connect((host, 53)))
    held()


@case("network", HELD)
def raw_sockets() -> None:
    """raw IP, ping sockets and whole frames"""
    for protocol in (1, 2, 6, 17, 255):
        attempt(f"raw {protocol}", lambda protocol=protocol: socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol))
    attempt("ping", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1))
    for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
        attempt(f"packet {kind!r}", lambda kind=kind: socket.socket(socket.AF_PACKET, kind, 0x0300))
    held()


@case("network", HELD)
def netlink() -> None:
    """every protocol of netlink: routes, audit, connector, kernel events, netfilter"""
    for protocol in range(23):
        attempt(f"netlink {protocol}", lambda protocol=protocol: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol))
    held()


@case("network", HELD, sampled=True)
def vsock() -> None:
    """the hypervisor and the host over vsock"""
    for number in (0, 1, 2, 3):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            attempt(
                f"vsock {number}", lambda number=number, kind=kind: socket.socket(socket.AF_VSOCK, kind).connect((number, 1024))
            )
    held()


@case("network", HELD)
def bluetooth_and_can() -> None:
    """Bluetooth, CAN, infrared, NFC and amateur radio"""
    for family in (31, 29, 23, 39, 3, 5, 6, 11):
        for kind in (socket.SOCK_RAW, socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
            for protocol in (0, 1, 3):
                attempt(f"family {family}", lambda f=family, k=kind, p=protocol: socket.socket(f, k, p))
    held()


@case("network", HELD)
def every_family() -> None:
    """each of 64 address families but local sockets"""
    for family in (0, *range(2, 64)):
        for kind in range(1, 7):
            attempt(f"family {family} kind {kind}", lambda f=family, k=kind: socket.socket(f, k, 0))
    held()


@case("network", HELD)
def crypto_and_xdp_sockets() -> None:
    """AF_ALG, AF_XDP, AF_KCM, AF_RXRPC, AF_SMC, AF_TIPC: the kernel's rarely used ones"""
    for family in (38, 44, 41, 33, 43, 30):
        for kind in (socket.SOCK_SEQPACKET, socket.SOCK_RAW, socket.SOCK_STREAM, socket.SOCK_DGRAM):
            attempt(f"family {family}", lambda f=family, k=kind: socket.socket(f, k, 0))
    held()


@case("network", HELD, sampled=True)
def abstract_sockets() -> None:
    """a socket without a file that a program of the host listens on"""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        name = "\0" + params()["abstract"]
        attempt(f"abstract {kind!r}", lambda kind=kind, name=name: socket.socket(socket.AF_UNIX, kind).connect(name))
    held()


@case("network", HELD, sampled=True)
def engine_sockets() -> None:
    """the engine's own sockets, by their usual paths and through other processes' roots"""
    for root in ("", "/proc/1/root", "/proc/self/root", "/proc/self/cwd/../.."):
        for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock"):
            attempt(root + path, lambda path=root + path: socket.socket(socket.AF_UNIX).connect(path))
    attempt(params()["engine"], lambda: socket.socket(socket.AF_UNIX).connect(params()["engine"]))
    held()


@case("network", HELD)
def interfaces() -> None:
    """interfaces and routes other than an unconfigured loopback"""
    names = sorted(name for name in os.listdir("/sys/class/net")) if os.path.isdir("/sys/class/net") else []
    must(set(names) <= {"lo"}, f"/sys/class/net has {names}")
    buffer = array.array("B", bytes(4096))
    request = struct.pack("iL", len(buffer), buffer.buffer_info()[0])
    try:
        used = struct.unpack("iL", fcntl.ioctl(socket.socket(socket.AF_UNIX), 0x8912, request))[0]
    except OSError:
        used = 0
    must(used <= 40, f"SIOCGIFCONF has {used} bytes")  # one entry: loopback
    for table in ("route", "ipv6_route", "arp", "tcp", "udp"):
        if os.path.exists(f"/proc/net/{table}"):
            with open(f"/proc/net/{table}") as file:
                rows = [line for line in file if " lo" not in line][1:] if table != "ipv6_route" else []
            must(not rows, f"/proc/net/{table} has {rows}")
    held()


@case("network", HELD)
def resolver() -> None:
    """names, by whatever resolver the image brings"""
    for name in ("example.com", "localhost.localdomain", "host.docker.internal", "metadata.google.internal"):
        attempt(name, lambda name=name: socket.getaddrinfo(name, 80))
    held()
