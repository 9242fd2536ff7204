"""What the host does with keys: whose one is, and giving an account another one."""

from __future__ import annotations

import pytest

from learningchain.chain.crypto import account_id
from learningchain.chain.errors import Code, InvalidBlock, TxCode
from learningchain.chain.host import Host, KeyOwner, key_owner_key
from learningchain.chain.ledger.transition import validators_of
from tests.unit.ledger_kit import Act, Chain, id_of, key_of, own_contract

NEW, NEXT = key_of("a new key"), key_of("the next key")


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Chain:
    """Whoever sends `NAME` gets the key of that name."""

    def give(name: str) -> None:
        acts[name] = lambda host, sender, m: host.change_key(sender, key_of(name).public)

    acts: dict[str, object] = {}
    for name in ("a new key", "the next key"):
        give(name)
    own_contract(monkeypatch, acts)  # type: ignore[arg-type]
    return Chain()


def test_the_old_key_is_refused_at_once_and_the_rest_of_the_account_stays(chain: Chain) -> None:
    before = chain.account("alice")
    assert chain.codes(chain.tx("alice", Act("a new key"))) == [0]
    after = chain.account("alice")
    assert after.key == NEW.public and (after.balance, after.frozen, after.status) == (before.balance, before.frozen, before.status)
    with pytest.raises(InvalidBlock, match="signature"):
        chain.try_(chain.tx("alice", Act("the next key"), sequence=1))
    done = chain.try_(chain.tx("alice", Act("the next key"), sequence=1), building=True)
    assert [fault.code for _, fault in done.skipped] == [TxCode.BAD_SIGNATURE]
    chain.sequences["alice", 0] = 1
    assert chain.codes(chain.tx("alice", Act("the next key"), signer="a new key")) == [0]


def test_in_the_same_block_the_old_key_signs_nothing_more(chain: Chain) -> None:
    change, again = chain.tx("alice", Act("a new key")), chain.tx("alice", Act("the next key"))
    done = chain.try_(change, again, building=True)
    assert [tx.id for tx in done.txs] == [change.id] and len(done.skipped) == 1


def test_a_key_is_its_first_account_s_for_ever(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.block(chain.tx("alice", Act("a new key")))
    assert chain.state.get(key_owner_key(NEW.public)) == KeyOwner(id_of("alice"), 1)
    owners: dict[bytes, bytes | None] = {}

    def look(host: Host, sender: bytes, m: Act) -> None:
        for key in (NEW, key_of("alice"), key_of("nobody")):
            owners[key.public] = host.key_owner(key.public)

    own_contract(monkeypatch, {"look": look})
    assert chain.codes(chain.tx("bob", Act("look"))) == [0]
    assert owners == {NEW.public: id_of("alice"), key_of("alice").public: id_of("alice"), key_of("nobody").public: None}
    assert account_id(NEW.public) != id_of("alice")


def test_a_validator_s_key_changes_at_the_next_height(chain: Chain) -> None:
    done = chain.try_(chain.tx("v2", Act("a new key"), sequence=0))
    assert {v.key for v in validators_of(chain.state)} == {key_of(f"v{n}").public for n in (1, 2, 3, 4)}
    assert {v.id: v.key for v in done.next_validators}[id_of("v2")] == NEW.public
    assert [v.id for v in done.next_validators] == [v.id for v in validators_of(chain.state)]


def test_the_set_changes_once_in_a_block(chain: Chain) -> None:
    first, second = chain.tx("v1", Act("a new key")), chain.tx("v2", Act("the next key"))
    assert chain.codes(first, second) == [0, Code.NOT_ALLOWED]
    assert chain.account("v2").key == key_of("v2").public
    assert chain.codes(chain.tx("v2", Act("the next key"))) == [0]
    assert {v.key for v in validators_of(chain.state)} >= {NEW.public, NEXT.public}
