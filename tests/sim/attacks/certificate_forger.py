"""Forges certificates out of real signatures: too few of them, wrong or doubled signers, signatures of another height, round or
block, prevotes in the place of precommits; and sends them alone and in the blocks that others ask for."""

from __future__ import annotations

from msgspec.structs import replace

from learningchain.chain.codec import encode
from learningchain.chain.crypto import sha256
from learningchain.chain.node import messages as m
from learningchain.chain.types import NIL, PREVOTE, Certificate, quorum
from tests.sim.attacks.base import Byzantine


def spoilt(c: Certificate, n: int) -> dict[str, Certificate]:
    """A certificate that holds, made into ones that do not; `n` validators."""
    few = quorum(n) - 1
    shifted = sorted((i + 1) % n for i in c.signers)
    found = {
        "doubled signers": replace(c, signers=[c.signers[0]] * len(c.signers), signatures=[c.signatures[0]] * len(c.signers)),
        "other order": replace(c, signers=c.signers[::-1], signatures=c.signatures[::-1]),
        "unequal lengths": replace(c, signatures=c.signatures[:-1] or c.signatures * 2),
        "nobody's signature": replace(c, signers=[*c.signers[:-1], n]),
        "another height": replace(c, height=c.height + 1),
        "another round": replace(c, round=c.round + 1),
        "another block": replace(c, block_id=sha256(c.block_id)),
        "swapped signatures": replace(c, signatures=[*c.signatures[1:], c.signatures[0]]),
    }
    if few:
        found["too few"] = replace(c, signers=c.signers[:few], signatures=c.signatures[:few])
    if shifted != c.signers:
        found["wrong signers"] = replace(c, signers=shifted)
    if len(c.signers) == 1:
        del found["other order"], found["doubled signers"], found["swapped signatures"]
    return found


class CertificateForger(Byzantine):
    name = "certificate forger"
    pace = 2

    def act(self) -> None:
        n = len(self.world.checks.sets.get(self.node.height, [])) or self.world.profile.validators
        last = self.node.consensus.last_certificate
        if last is not None:
            what, forged = self.whim.choice(sorted(spoilt(last, n).items()))
            self.did(what)
            # For who is at its height, and for who is at the next one.
            self.tell_all(encode(m.CertificateMessage(forged)))
            self.tell_all(encode(m.CertificateMessage(replace(forged, height=self.node.height + 1))))
        self._of_this_height()

    def _of_this_height(self) -> None:
        """What there is of real votes for a block, prevotes too, as if it were enough."""
        state = self.height_state
        if state is None:
            return
        for type_ in (PREVOTE, 2):
            tally = state.votes.tally(type_, state.round)
            for block in sorted(tally.by_id):
                votes = tally.votes_for(block)
                enough = type_ != PREVOTE and len(votes) >= state.votes.quorum
                if block != NIL and not enough:
                    self.did("prevotes" if type_ == PREVOTE else "a minority")
                    signers = [state.index_of[v.validator] for v in votes]
                    certificate = Certificate(state.height, state.round, block, signers, [v.signature for v in votes])
                    self.tell_all(encode(m.CertificateMessage(certificate)))

    def twist(self, peer: int, message: m.Message, payload: bytes) -> list[bytes]:
        if not isinstance(message, m.Blocks) or not message.blocks or self.whim.random() < 0.3:
            return [payload]
        n = self.world.profile.validators
        what = self.whim.choice(["too few", "doubled signers", "another round", "another block"])
        blocks = [m.SyncBlock(b.block, spoilt(b.certificate, n).get(what, b.certificate)) for b in message.blocks]
        self.did(f"blocks with {what}")
        return [encode(m.Blocks(blocks))]
