"""Peer book, discovery, gossip and TLS bindings without a network."""

from __future__ import annotations

import datetime as dt
import random
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from learningchain.chain.crypto import SigningKey, account_id, address, sha256
from learningchain.p2p.address_book import (
    MAX_MEMBERS,
    MAX_RUMOURS,
    MAX_SEEDS,
    RUMOUR_TRIES,
    AddressBook,
    endpoint,
    normal,
    parse_endpoint,
    parse_seed,
)
from learningchain.p2p.discovery import NEAR, Dial, Wanted, choose_dials
from learningchain.p2p.gossip import GossipTargets
from learningchain.p2p.tls import (
    CA,
    Binding,
    NotAuthenticated,
    WrongPeer,
    binding_digest,
    certificate_identity,
    check_member,
    issue_bound,
    issue_leaf,
    make_ca,
    make_contexts,
    spki,
)
from learningchain.p2p.wire import MAX_ADDRESSES

NOW = 1_800_000_000.0
ME = bytes(20)


def peer(i: int) -> bytes:
    return sha256(b"peer %d" % i)[:20]


def rng() -> random.Random:
    return random.Random(7)


# --- addresses --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("10.0.0.1:7000", "10.0.0.1", 7000), ("[::1]:80", "::1", 80), ("node-1.example.org:65535", "node-1.example.org", 65535)],
)
def test_addresses_are_host_and_port(text: str, host: str, port: int) -> None:
    assert parse_endpoint(text) == (host, port) and endpoint(host, port) == text


NO_PORT = ["", "host", ":80", "host:", "host:0", "host:65536", "host:+80", "host:8٠"]
NO_HOST = [
    "::1:80",
    "[::g]:80",
    "a/b:80",
    "user@h:80",
    "h h:80",
    "-a:80",
    "a" * 260 + ":80",
    "h?x:80",
    "h#:80",
    "[fe80::1%eth0]:80\n",
]


@pytest.mark.parametrize("text", NO_PORT + NO_HOST)
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ValueError):
        parse_endpoint(text)
    assert normal(text) is None


def test_a_configured_peer_may_name_its_identity() -> None:
    assert parse_seed(f"{address(peer(1))}@Host:1") == (peer(1), "host:1") and parse_seed("h:1") == (None, "h:1")
    with pytest.raises(ValueError):
        parse_seed("lc1typo@h:1")


# --- the book ---------------------------------------------------------------------------------------------------------------------


def test_the_book_survives_a_restart_with_what_was_verified_only(tmp_path: Path) -> None:
    book = AddressBook(tmp_path / "peers.json")
    book.succeeded(peer(1), "10.0.0.1:1", NOW)
    book.learn(peer(2), ["10.0.0.2:1"], peer(1))
    book.write(book.snapshot())
    assert (tmp_path / "peers.json").stat().st_mode & 0o777 == 0o600
    again = AddressBook(tmp_path / "peers.json")
    again.load()
    assert again.members() == [peer(1)] and again.places(peer(1))[0].last_success == NOW


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"a":' * 10_000,
        b'{"version":2,"members":{}}',
        b'{"version":1,"members":{"lc1x":[["h:1",1.0,0]]}}',
        b"\0" * 5_000_000,
    ],
)
def test_a_damaged_book_is_put_aside_and_the_node_starts_empty(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "peers.json"
    path.write_bytes(content)
    book = AddressBook(path)
    book.load()
    assert book.members() == [] and book.damaged is not None and book.damaged.exists() and not path.exists()


def test_failed_dials_back_off_longer_each_time_with_jitter() -> None:
    book, r, waits = AddressBook(), rng(), []
    book.succeeded(peer(1), "h:1", NOW)
    for _ in range(12):
        book.failed(peer(1), "h:1", NOW, r)
        waits.append(book.places(peer(1))[0].next_try - NOW)
    assert 0.25 <= waits[0] <= 0.75 and 60 <= waits[-1] <= 180 and waits[5] > waits[0]
    assert not book.places(peer(1))[0].due(NOW) and book.places(peer(1))[0].due(NOW + 180)
    assert book.places(peer(1))[0].due(NOW - 10_000)  # the clock was set back: no dial waits for ever
    book.settled(peer(1), "h:1")
    assert book.places(peer(1))[0].failures == 0 and book.places(peer(1))[0].due(NOW)


def test_a_rumour_that_fails_is_forgotten_and_a_verified_address_is_not() -> None:
    book = AddressBook()
    book.learn(peer(1), ["liar:1"], peer(9))
    book.succeeded(peer(2), "good:1", NOW)
    for _ in range(RUMOUR_TRIES):
        book.failed(peer(1), "liar:1", NOW, rng())
        book.failed(peer(2), "good:1", NOW, rng())
    assert book.members() == [peer(2)]


def test_rumours_do_not_push_out_the_address_of_a_member_that_is_away() -> None:
    book = AddressBook()
    book.succeeded(peer(1), "good:1", NOW)
    for _ in range(50):
        book.failed(peer(1), "good:1", NOW, rng())
    for i in range(50):
        book.learn(peer(1), [f"liar:{4 * i + k}" for k in range(1, 5)], teller=peer(9))
        for place in book.places(peer(1)):
            book.failed(peer(1), place.address, NOW, rng())
    assert "good:1" in [p.address for p in book.places(peer(1))]


def test_a_full_book_gives_up_no_verified_member_for_a_rumour() -> None:
    book = AddressBook()
    for i in range(MAX_MEMBERS):
        book.succeeded(peer(i), f"good:{i + 1}", NOW + i)
    book.learn(peer(7), ["liar:1"], teller=peer(8))
    for address_ in ("good:8", "liar:1"):
        book.failed(peer(7), address_, NOW, rng())
    assert book.learn(peer(5_000), ["liar:2"], teller=peer(8)) == 0
    assert peer(7) in book.members() and len(book.members()) == MAX_MEMBERS


def test_a_liar_can_place_few_rumours_and_never_displace_what_is_verified() -> None:
    book = AddressBook()
    book.succeeded(peer(0), "good:1", NOW)
    for i in range(1_000):
        book.learn(peer(i % 300), [f"liar:{i + 1}"], teller=peer(9))
    rumours = [p for m in book.members() for p in book.places(m) if not p.verified]
    assert len(rumours) == MAX_RUMOURS and book.places(peer(0))[0].address == "good:1"
    assert book.learn(peer(5), ["other:1"], teller=peer(8)) == 1


def test_what_a_member_says_of_itself_counts_however_much_others_lied_about_it() -> None:
    """It is connected, so nobody dials the lies and finds them out: they would stand, and nobody would be told where it is."""
    book = AddressBook()
    book.learn(peer(1), [f"liar:{k}" for k in range(1, 5)], teller=peer(9))
    assert book.learn(peer(1), ["true:1", "true:2"], teller=peer(1)) == 2
    assert len(book.places(peer(1))) == 4
    (told,) = book.share(rng(), exclude=peer(2), connected={peer(1)})
    assert set(told.addresses) == {"true:1", "true:2"}
    assert book.learn(peer(1), ["liar:7"], teller=peer(9)) == 0, "others may not take it back"
    assert book.learn(peer(1), [f"new:{k}" for k in range(1, 5)], teller=peer(1)) == 4, "it moved"
    assert [p.address for p in book.places(peer(1))] == [f"new:{k}" for k in range(1, 5)]
    book.succeeded(peer(1), "new:4", NOW)
    book.learn(peer(1), [f"newer:{k}" for k in range(1, 5)], teller=peer(1))
    assert book.places(peer(1))[0].address == "new:4", "the address that answered stays"


def test_who_tells_another_s_true_address_does_not_keep_it_from_being_passed_on() -> None:
    book = AddressBook()
    for i in range(MAX_RUMOURS):
        book.learn(peer(100 + i), ["true:1"], teller=peer(9))
    book.learn(peer(100), ["true:1"], teller=peer(100))
    assert [e.id for e in book.share(rng(), exclude=peer(2), connected={peer(100), peer(101)})] == [peer(100)]
    assert book.learn(peer(5), ["h:1"], peer(9)) == 1 and book.learn(peer(6), ["h:1"], peer(9)) == 0, "it counts for its member"


def test_a_member_finds_a_place_in_a_book_that_others_filled_with_rumours() -> None:
    book = AddressBook()
    for i in range(MAX_MEMBERS):
        book.learn(peer(i), ["liar:1"], teller=peer(10_000 + i // MAX_RUMOURS))
    assert book.learn(peer(5_000), ["liar:1"], teller=peer(9_999)) == 0
    assert book.learn(peer(5_000), ["true:1"], teller=peer(5_000)) == 1
    assert len(book.members()) == MAX_MEMBERS
    found_out = next(m for m in book.members() if m != peer(5_000))
    book.failed(found_out, "liar:1", NOW, rng())
    assert book.learn(peer(5_001), ["h:1"], teller=peer(9_999)) == 1 and found_out not in book.members()


def test_the_book_is_bounded() -> None:
    book = AddressBook()
    for i in range(MAX_MEMBERS + 50):
        book.succeeded(peer(i), "h:1", NOW + i)
    assert len(book.members()) == MAX_MEMBERS and peer(MAX_MEMBERS + 49) in book.members() and peer(0) not in book.members()
    for i in range(10):
        book.succeeded(peer(MAX_MEMBERS), f"h:{i + 1}", NOW)
    assert len(book.places(peer(MAX_MEMBERS))) == 4


def test_others_are_told_verified_addresses_and_what_connected_members_said_of_themselves() -> None:
    book = AddressBook()
    book.succeeded(peer(1), "a:1", NOW)
    book.learn(peer(2), ["b:1"], peer(2))
    book.learn(peer(3), ["c:1"], peer(1))
    told = {e.id: e.addresses for e in book.share(rng(), exclude=peer(1), connected={peer(2), peer(3)})}
    assert told == {peer(2): ["b:1"]}
    told = {e.id: e.addresses for e in book.share(rng(), exclude=peer(4), connected=set())}
    assert told == {peer(1): ["a:1"]}


def test_a_seed_keeps_its_configured_identity_and_an_open_one_forgets_a_wrong_guess() -> None:
    book = AddressBook()
    book.add_seed(f"{address(peer(1))}@h:1")
    book.add_seed("h:2")
    book.succeeded(peer(2), "h:2", NOW)
    book.mistaken(peer(1), "h:1")
    book.mistaken(peer(2), "h:2")
    assert book.seed_member("h:1") == peer(1) and book.seed_member("h:2") is None


# --- whom to dial -----------------------------------------------------------------------------------------------------------------


def dials(book: AddressBook, wanted: Wanted, connected: set[bytes] = set(), dialling: set[Dial] = set()) -> list[Dial]:  # noqa: B006
    return choose_dials(book, NOW, wanted, own_id=ME, connected=connected, dialling=dialling, rng=rng())


def full_book(n: int) -> AddressBook:
    book = AddressBook()
    for i in range(n):
        book.succeeded(peer(i), f"h{i}:1", NOW)
    return book


def test_validators_are_dialled_first_and_all_of_them() -> None:
    wanted = Wanted(frozenset({ME, *(peer(i) for i in range(6))}), others=0, dials=8)
    assert {d.peer for d in dials(full_book(20), wanted)} == {peer(i) for i in range(6)}
    assert {d.peer for d in dials(full_book(20), wanted._replace(others=2))} > {peer(i) for i in range(6)}


def test_a_member_outside_the_set_prefers_a_few_validators_and_stops_when_it_has_enough() -> None:
    """However many validators and members there are: otherwise everybody would dial every validator for ever."""
    validators = frozenset(peer(i) for i in range(30))
    book, wanted = full_book(60), Wanted(validators, others=16, dials=100)
    first = {d.peer for d in dials(book, wanted)}
    assert len(first) == 16 and len(validators & first) >= NEAR
    assert dials(book, wanted, connected={peer(i) for i in range(40, 56)}) == []
    for i in range(30):
        book.failed(peer(i), f"h{i}:1", NOW - 60, rng())
    have = {peer(i) for i in range(30, 45)}
    tries = [choose_dials(book, NOW, wanted, own_id=ME, connected=have, dialling=set(), rng=random.Random(i)) for i in range(40)]
    assert {d.peer for (d,) in tries} - validators, "full validators do not take the last free place for ever"
    small = Wanted(frozenset(peer(i) for i in range(4)), others=16, dials=100)
    assert {d.peer for d in dials(full_book(9), small)} == {peer(i) for i in range(9)}, "a small graph is connected completely"


def test_enough_others_are_dialled_and_no_more_at_once_than_allowed() -> None:
    assert len(dials(full_book(50), Wanted(frozenset(), others=5, dials=100))) == 5
    assert len(dials(full_book(50), Wanted(frozenset(), others=50, dials=8))) == 8
    assert dials(full_book(50), Wanted(frozenset(), others=5, dials=8), connected={peer(i) for i in range(5)}) == []


def test_addresses_in_back_off_wait() -> None:
    book = full_book(2)
    book.failed(peer(0), "h0:1", NOW, rng())
    assert [d.peer for d in dials(book, Wanted(frozenset(), 9, 9))] == [peer(1)]


def test_seeds_are_dialled_until_their_member_is_connected() -> None:
    book = AddressBook()
    book.add_seed("seed:1")
    wanted = Wanted(frozenset(), others=0, dials=9)
    assert dials(book, wanted) == [Dial("seed:1", None)]
    book.succeeded(peer(1), "seed:1", NOW)
    assert dials(book, wanted) == [Dial("seed:1", peer(1))] and dials(book, wanted, connected={peer(1)}) == []


# --- gossip -----------------------------------------------------------------------------------------------------------------------


def mesh_of(n: int, degree: int) -> GossipTargets:
    gossip = GossipTargets(degree, rng())
    for i in range(n):
        gossip.peer(peer(i), True)
    return gossip


def test_the_mesh_is_bounded() -> None:
    gossip = mesh_of(20, 6)
    mesh = gossip.mesh_targets()
    assert len(set(mesh)) == 6 and set(mesh) < {peer(i) for i in range(20)}
    assert gossip.mesh_targets([mesh[0]]) == mesh[1:]


def test_the_mesh_is_stable_and_refills_when_a_member_leaves() -> None:
    gossip = mesh_of(20, 6)
    before = gossip.mesh_targets()
    gossip.peer(peer(30), True)
    assert gossip.mesh_targets() == before
    gossip.peer(before[0], False)
    after = gossip.mesh_targets()
    assert len(after) == 6 and set(before[1:]) < set(after) and before[0] not in after


def test_a_refresh_exchanges_one_member() -> None:
    gossip = mesh_of(20, 6)
    before = set(gossip.mesh_targets())
    gossip.refresh()
    assert len(before & set(gossip.mesh_targets())) == 5 and len(gossip.mesh_targets()) == 6
    narrow = mesh_of(7, 6)
    for _ in range(20):
        before = set(narrow.mesh_targets())
        narrow.refresh()
        assert set(narrow.mesh_targets()) != before, "who was taken out is not put back, however few others there are"
    small = mesh_of(3, 6)
    small.refresh()
    assert len(small.mesh_targets()) == 3


def test_consensus_reaches_every_connected_validator_and_nobody_else() -> None:
    gossip = mesh_of(20, 3)
    gossip.set_validators([peer(i) for i in range(10)] + [peer(77)])
    assert set(gossip.consensus_targets()) == {peer(i) for i in range(10)}
    assert peer(0) not in gossip.consensus_targets(exclude=[peer(0)])


def test_the_mesh_holds_no_validators() -> None:
    gossip = mesh_of(20, 6)
    before = gossip.mesh_targets()
    gossip.set_validators(before[:2])
    assert not set(before[:2]) & set(gossip.mesh_targets()) and len(gossip.mesh_targets()) == 6
    gossip.set_validators([peer(i) for i in range(18)])
    gossip.refresh()
    assert set(gossip.mesh_targets()) == {peer(18), peer(19)}


# --- TLS bindings -----------------------------------------------------------------------------------------------------------------

KEY = SigningKey(sha256(b"key"))
ID = account_id(KEY.public)
CHAIN = sha256(b"net")
CA_ = make_ca(NOW)


def der(pem: bytes) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def test_a_leaf_proves_its_identity_for_its_network_alone() -> None:
    leaf = der(issue_leaf(KEY, ID, CHAIN, CA_, NOW).cert_pem)
    assert certificate_identity(leaf, CHAIN, NOW) == (ID, KEY.public)
    with pytest.raises(NotAuthenticated, match="did not sign"):
        certificate_identity(leaf, sha256(b"other net"), NOW)
    for wrong, word in ((NOW - 2 * 86_400, "not yet valid"), (NOW + 3_651 * 86_400, "expired")):
        with pytest.raises(NotAuthenticated, match=word):
            certificate_identity(leaf, CHAIN, wrong)


def test_each_start_makes_a_new_tls_key() -> None:
    assert issue_leaf(KEY, ID, CHAIN, CA_, NOW).key_pem != issue_leaf(KEY, ID, CHAIN, CA_, NOW).key_pem


def test_a_binding_cannot_be_moved_to_another_tls_key() -> None:
    mine, thiefs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    binding = Binding(ID, KEY.public, KEY.sign(binding_digest(CHAIN, spki(mine.public_key()))))
    assert certificate_identity(der(issue_bound(mine, binding, CA_, NOW).cert_pem), CHAIN, NOW).id == ID
    with pytest.raises(NotAuthenticated, match="did not sign"):
        certificate_identity(der(issue_bound(thiefs, binding, CA_, NOW).cert_pem), CHAIN, NOW)


@pytest.mark.parametrize("data", [b"", b"junk", b"\x30\x82\xff\xff", bytes(5_000), b"\x30\x80" * 500])
def test_bytes_that_are_no_certificate_are_refused(data: bytes) -> None:
    with pytest.raises(NotAuthenticated):
        certificate_identity(data, CHAIN, NOW)


def test_every_flipped_byte_of_a_certificate_is_refused_or_changes_nothing_that_counts() -> None:
    leaf = der(issue_leaf(KEY, ID, CHAIN, CA_, NOW).cert_pem)
    for i in range(len(leaf)):
        try:
            found = certificate_identity(leaf[:i] + bytes((leaf[i] ^ 1,)) + leaf[i + 1 :], CHAIN, NOW)
        except NotAuthenticated:
            continue
        # The id is vouched for by the ledger's key for it; the key and its signature are vouched for here.
        assert found.key == KEY.public


def test_membership_decides_after_the_proof() -> None:
    me = certificate_identity(der(issue_leaf(KEY, ID, CHAIN, CA_, NOW).cert_pem), CHAIN, NOW)
    check_member(me, KEY.public, ID)
    with pytest.raises(WrongPeer, match="dialled"):
        check_member(me, KEY.public, peer(1))
    with pytest.raises(NotAuthenticated, match="not an active member"):
        check_member(me, None, None)
    with pytest.raises(NotAuthenticated, match="another key"):
        check_member(me, SigningKey(sha256(b"new")).public, None)


def test_the_authority_is_valid_a_day_before_genesis_and_without_end() -> None:
    cert = x509.load_pem_x509_certificate(CA_.cert_pem)
    assert cert.not_valid_before_utc.timestamp() == NOW - 86_400 and cert.not_valid_after_utc.year == 9999
    assert cert.not_valid_after_utc.tzinfo is dt.UTC


def test_a_damaged_authority_is_named() -> None:
    for bad in (CA(b"junk", CA_.key_pem), CA(CA_.cert_pem, b"junk")):
        with pytest.raises(ValueError, match="genesis is damaged"):
            issue_leaf(KEY, ID, CHAIN, bad, NOW)


def test_contexts_allow_tls_1_3_with_certificates_only() -> None:
    for context in make_contexts(issue_leaf(KEY, ID, CHAIN, make_ca(time.time()), time.time()), CA_):
        assert context.minimum_version == context.maximum_version == ssl.TLSVersion.TLSv1_3
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert context.options & ssl.OP_NO_COMPRESSION and context.options & ssl.OP_NO_RENEGOTIATION


def test_nobody_is_told_its_own_address_and_those_connected_come_first() -> None:
    book = AddressBook()
    for i in range(200):
        book.succeeded(peer(i), f"h{i}:1", NOW)
    told = [entry.id for entry in book.share(rng(), exclude=peer(150), connected={peer(150), peer(151), peer(7)})]
    assert set(told[:2]) == {peer(151), peer(7)} and peer(150) not in told and len(set(told)) == 64


def test_a_damaged_entry_leaves_nothing_of_the_file_in_the_book(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    good = f'"{address(peer(1))}":[["h:1",1.0,0]]'
    path.write_text(f'{{"version":1,"members":{{{good},"lc1x":[["h:1",1.0,0]]}}}}')
    book = AddressBook(path)
    book.load()
    assert book.members() == [] and book.damaged is not None
    book.load()  # no file any more


def test_a_file_of_many_members_and_addresses_is_taken_within_the_bounds(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    many = ",".join(
        f'"{address(peer(i))}":[{",".join(f"""["h:{k}",1.0,-3]""" for k in range(1, 9))}]' for i in range(MAX_MEMBERS + 9)
    )
    path.write_text(f'{{"version":1,"members":{{{many}}}}}')
    book = AddressBook(path)
    book.load()
    assert len(book.members()) == MAX_MEMBERS
    assert all(len(book.places(member)) == MAX_ADDRESSES for member in book.members())
    assert all(place.failures == 0 for place in book.places(book.members()[0]))


@pytest.mark.parametrize(("more", "taken"), [(0, True), (1, False)])
def test_a_file_is_read_up_to_its_largest_size(tmp_path: Path, more: int, taken: bool) -> None:
    path = tmp_path / "peers.json"
    held = f'{{"version":1,"members":{{"{address(peer(1))}":[["h:1",1.0,0]]}}}}'
    path.write_text(held + " " * (4_000_000 + more - len(held)))
    book = AddressBook(path)
    book.load()
    assert (book.members() == [peer(1)]) is taken and (book.damaged is None) is taken


def test_seeds_are_bounded_back_off_and_forget_who_answered_when_they_go() -> None:
    book = AddressBook()
    for i in range(MAX_SEEDS):
        book.add_seed(f"h{i}:1")
    with pytest.raises(ValueError, match="at most 64"):
        book.add_seed("one:1")
    book.failed(None, "h1:1", NOW, rng())
    assert not book.seeds["h1:1"].due(NOW) and book.seeds["h2:1"].due(NOW)
    book.succeeded(peer(1), "h2:1", NOW)
    assert book.seed_member("h2:1") == peer(1)
    book.remove_seed("h2:1")
    assert book.seed_member("h2:1") is None and "h2:1" not in book.seeds


def test_ports_and_names_have_one_form() -> None:
    assert normal("Node.Example:080") == "node.example:80"
    assert [normal(f"h:{port}") for port in ("0", "65535", "65536", "000080", "٣")] == [None, "h:65535", None, None, None]
