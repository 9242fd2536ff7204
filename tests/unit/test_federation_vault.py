"""The vault (LC-FILE-40 to LC-FILE-43): the owner alone opens it, or so many holders together, and fewer learn nothing."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learningchain.client.contracts.federation.arithmetic import vault
from learningchain.client.contracts.federation.arithmetic.vault import BadVault, VaultPlace
from learningchain.client.keys.boxes import public_of
from learningchain.client.keys.hidden import seal, unseal
from tests.unit.federation_kit import rng

PLACE = VaultPlace(b"f" * 32, b"m" * 20, 5)
KEY, SECRET = b"k" * 32, b"s" * 32
PRIVATES = {bytes([n]) * 20: bytes([n]) * 32 for n in range(1, 6)}
HOLDERS = {holder: public_of(private) for holder, private in PRIVATES.items()}


def test_the_field_is_that_of_aes() -> None:
    """FIPS 197, 4.2 and 4.2.1."""
    assert vault.times(0x57, 0x83) == 0xC1 and vault.times(0x57, 0x13) == 0xFE
    assert all(vault.times(a, 1) == a and vault.times(a, 0) == 0 for a in range(256))


@settings(max_examples=40)
@given(data=st.data(), key=st.binary(min_size=1, max_size=40), needed=st.integers(1, 6), more=st.integers(0, 4))
def test_any_of_so_many_shares_give_the_key(data: st.DataObject, key: bytes, needed: int, more: int) -> None:
    shares = vault.split(key, needed + more, needed, rng(data.draw(st.integers(0, 99))).randbytes)
    chosen = data.draw(st.permutations(shares))[:needed]
    assert vault.join(chosen) == key and vault.join(shares) == key


def test_one_share_less_is_nothing() -> None:
    """For two of three every first byte of the key fits one share alone: each is as likely."""
    shares = [vault.split(bytes((n,)), 3, 2, lambda size: b"\x5a" * size)[0] for n in range(256)]
    assert len({share[1] for share in shares}) == 256
    whole = vault.split(KEY, 5, 3, rng().randbytes)
    assert all(vault.join(two) != KEY for two in combinations(whole, 2))
    assert all(vault.join(three) == KEY for three in combinations(whole, 3))


@pytest.mark.parametrize("shares", [[], [b""], [b"\0ab"], [b"\1ab", b"\1cd"], [b"\1ab", b"\2c"]])
def test_what_are_no_shares(shares: list[bytes]) -> None:
    with pytest.raises(BadVault):
        vault.join(shares)


@pytest.mark.parametrize(("holders", "needed"), [(3, 4), (0, 0), (256, 2), (3, 0)])
def test_shares_have_bounds(holders: int, needed: int) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        vault.split(KEY, holders, needed, rng().randbytes)


def test_its_owner_opens_it_with_its_secret_alone() -> None:
    """LC-FILE-40, 42"""
    head = vault.make_head(PLACE, KEY, vault.of_secret(SECRET), {}, rng().randbytes)
    file = head + seal(b"the model", KEY, bytes(12))
    read = vault.read_vault(file[:1024], PLACE)
    assert len(head) == 146 == read.size and (read.needed, read.shares) == (0, {})
    key = vault.own_key(read, PLACE, vault.of_secret(SECRET))
    assert unseal(file[read.size :], key) == b"the model"
    with pytest.raises(BadVault, match="does not open"):
        vault.own_key(read, PLACE, vault.of_secret(b"t" * 32))
    with pytest.raises(BadVault, match="does not open"):
        vault.own_key(read._replace(salt=bytes(32)), PLACE, vault.of_secret(SECRET))


@pytest.mark.parametrize(("count", "needed"), [(4, 3), (5, 3)])
def test_holders_open_it_together(count: int, needed: int) -> None:
    """LC-FILE-43"""
    holders = dict(list(HOLDERS.items())[:count])
    read = vault.read_vault(vault.make_head(PLACE, KEY, vault.of_secret(SECRET), holders, rng().randbytes), PLACE)
    assert read.needed == needed and read.size == 146 + count * 101
    shares = [vault.own_share(read, PLACE, holder, PRIVATES[holder]) for holder in holders]
    assert all(vault.join(some) == KEY for some in combinations(shares, needed))
    with pytest.raises(BadVault, match="holds no share"):
        vault.own_share(read, PLACE, b"z" * 20, bytes(32))
    with pytest.raises(BadVault, match="does not open"):
        vault.own_share(read, PLACE, min(holders), PRIVATES[max(holders)])
    first, second = sorted(holders)[:2]
    swapped = read._replace(shares=read.shares | {first: read.shares[second]})
    with pytest.raises(BadVault, match="does not open"):
        vault.own_share(swapped, PLACE, first, PRIVATES[first])


def test_a_holder_whose_key_is_of_low_order_keeps_nobody_from_theirs() -> None:
    holders = HOLDERS | {min(HOLDERS): bytes(32)}
    read = vault.read_vault(vault.make_head(PLACE, KEY, vault.of_secret(SECRET), holders, rng().randbytes), PLACE)
    shares = [vault.own_share(read, PLACE, holder, PRIVATES[holder]) for holder in sorted(holders)[1:]]
    assert vault.join(shares) == KEY


@pytest.mark.parametrize("count", [1, 2, 3])
def test_shares_of_few_would_be_those_of_a_few_puppets(count: int) -> None:
    with pytest.raises(ValueError, match="4 to 5"):
        vault.make_head(PLACE, KEY, vault.of_secret(SECRET), dict(list(HOLDERS.items())[:count]), rng().randbytes)


def test_a_file_of_another_place_or_form_is_refused() -> None:
    head = vault.make_head(PLACE, KEY, vault.of_secret(SECRET), HOLDERS, rng().randbytes)
    counts = 144
    for raw, place in (
        (head, PLACE._replace(r=6)),
        (head, PLACE._replace(member=b"n" * 20)),
        (head, PLACE._replace(federation=bytes(32))),
        (b"", PLACE),
        (head[:145], PLACE),
        (head[:-1], PLACE),
        (b"X" + head[1:], PLACE),
        *(
            (head[:counts] + bytes(pair) + head[counts + 2 :], PLACE)
            for pair in ((5, 2), (5, 4), (3, 2), (6, 4), (0, 1), (255, 128))
        ),
        (head[: 146 + 101] + head[146 : 146 + 101] + head[146 + 202 :], PLACE),
        (head[:146] + head[146 + 101 : 146 + 202] + head[146 : 146 + 101] + head[146 + 202 :], PLACE),
    ):
        with pytest.raises(BadVault):
            vault.read_vault(raw, place)
