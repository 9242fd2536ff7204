"""What a callback may be sent to: the form of URLs, addresses, and names that are resolved by strangers."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable

import pytest

from learningchain.client.addresses import AllowedAddresses, CallbackUrl, UrlRefused, is_public
from learningchain.client.callbacks.posting import Caller, Told
from learningchain.client.callbacks.resolving import MOST_ADDRESSES, CheckedResolver
from tests.slow import SLOW
from tests.unit.callbacks_kit import SECRET, HttpServer

NOBODY = AllowedAddresses()
OWN = AllowedAddresses.of(["loopback", "10.1.0.0/16"])

NEVER = {
    "this machine": ["0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.255.254", "::", "::1", "fe80::1%eth0"],
    "its networks": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.1.1", "fe80::1", "fec0::1", "fc00::1"],
    "metadata": ["169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"],
    "providers": ["100.64.0.1", "192.0.0.1"],
    "examples": ["192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "2001:db8::1", "100::1"],
    "groups": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1", "240.0.0.1", "255.255.255.255"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1"],
    "compatible": ["::127.0.0.1", "::10.0.0.1"],
    "translated": ["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808"],
    "of one link, or not given out": ["2606:4700::1111%eth0", "4000::1"],
    "tunnels": ["2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"],
}
ALWAYS = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.215.14",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]


@pytest.mark.parametrize("text", [text for texts in NEVER.values() for text in texts])
def test_what_is_not_the_worlds_is_never_called(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ALWAYS)
def test_what_is_the_worlds_is(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ftp://example.org/", "begins with https"),
        ("example.org/hook", "begins with https"),
        ("https://user:word@example.org/", "credentials"),
        ("https://user@example.org/", "credentials"),
        ("https://@example.org/", "credentials"),
        ("https://example.org/#part", "fragment"),
        ("https://example.org/#", "fragment"),
        ("https://example.org:0/", "port"),
        ("https://example.org:65536/", "port"),
        ("https://example.org:x/", "port"),
        ("https:///hook", "names no host"),
        ("https://exa mple.org/", "characters"),
        ("https://example.org\\@10.0.0.1/", "characters"),
        ("https://example.org/\n", "characters"),
        ("https://ex\u00e4mple.org/", "characters"),
        ("https://a..b/", "names no host"),
        ("https://[::1/", "no URL"),
        ("https://example.org/" + "a" * 2_048, "at most 2048"),
        ("https://127.0.0.1/", "of this machine"),
        ("https://[::1]/", "of this machine"),
        ("https://[::ffff:169.254.169.254]/latest", "of this machine"),
        ("https://[fe80::1%25eth0]/", "of this machine"),
        ("http://8.8.8.8/", "in the open"),
    ],
)
def test_a_url_is_refused_when_it_is_given(text: str, why: str) -> None:
    with pytest.raises(UrlRefused, match=why):
        CallbackUrl.parse(text, NOBODY)


def look_up(*answers: list[str]) -> tuple[Callable[[str, int], Awaitable[list[str]]], list[str]]:
    """Each look-up gets the next answer."""
    asked: list[str] = []

    async def find(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return find, asked


def resolved(find: Callable[[str, int], Awaitable[list[str]]], allowed: AllowedAddresses = NOBODY) -> list[str]:
    found = asyncio.run(CheckedResolver(allowed, encrypted=True, look_up=find).resolve("hooks.example.org", 443))
    return [one["host"] for one in found]


def test_a_name_that_points_inside_refuses_all_its_addresses() -> None:
    assert resolved(look_up(["93.184.215.14", "2606:4700::1111"])[0]) == ["93.184.215.14", "2606:4700::1111"]
    for bad in ("127.0.0.1", "::1", "169.254.169.254", "::ffff:10.0.0.1", "0.0.0.0"):
        with pytest.raises(UrlRefused):
            resolved(look_up(["93.184.215.14", bad])[0])
    assert resolved(look_up(["10.1.0.1"])[0], OWN) == ["10.1.0.1"]
    assert len(resolved(look_up([f"8.8.{n}.8" for n in range(100)])[0])) == MOST_ADDRESSES == 8


def test_numbers_in_old_notations_are_the_addresses_that_they_mean() -> None:
    """The machine's resolver reads them, so they are checked as what it reads; the library refuses some before."""
    for text in ("2130706433", "0x7f000001", "127.1", "localhost", "0"):
        outcome = asyncio.run(Caller(NOBODY, "1").post(f"https://{text}/", bytes(32), "id", 1, b""))
        assert outcome.end is Told.FAILED and outcome.status == 0, (text, outcome)
        assert "of this machine" in outcome.note or "not a canonical" in outcome.note, (text, outcome)


def test_a_name_is_looked_up_once_and_what_it_says_later_changes_nothing() -> None:
    """The classic: public at the check, loopback at the connection."""

    async def main() -> None:
        hit = asyncio.Event()
        server = await asyncio.start_server(lambda *_: hit.set(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        find, asked = look_up(["192.88.99.1"], ["127.0.0.1"])
        caller = Caller(NOBODY, "1", look_up=find, connect_s=0.2 * SLOW, answer_s=0.5 * SLOW)
        outcome = await caller.post(f"https://rebind.example.org:{port}/", bytes(32), "id", 1, b"")
        assert outcome.end is Told.FAILED and asked == ["rebind.example.org"] and not hit.is_set()
        outcome = await caller.post(f"https://rebind.example.org:{port}/", bytes(32), "id", 1, b"")
        assert "of this machine" in outcome.note and not hit.is_set()
        server.close()

    asyncio.run(main())


# --- what an end means -----------------------------------------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would see the secret's signature and the body, and would look up names that were not checked."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def main() -> Told:
        async with HttpServer() as server:
            caller = Caller(AllowedAddresses.of(["loopback"]), "1")
            return (await caller.post(server.url(), SECRET, "id", 1, b"{}")).end

    assert asyncio.run(main()) is Told.TOLD
