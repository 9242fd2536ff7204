"""Broken nodes: what they believe of peers, blocks under way, sync, the mempool's and the relay's bounds."""

from __future__ import annotations

from tests.sim.mutants.patch import Edit, Mutant, mutant

MUTANTS = (
    mutant(
        "certificates of synced blocks unchecked",
        "node.decided",
        "    check_certificate(record.chain_id, certificate, validators_of(state))\n",
        "",
        "lying sync",
    ),
    mutant(
        "state root left out of the comparison",
        "node.candidates",
        '        ("state root", header.state_root, executed.state_root),\n',
        "",
        "bad proposer",
    ),
    mutant(
        "receipt root left out of the comparison",
        "node.candidates",
        '        ("receipt root", header.receipt_root, executed.receipt_root),\n',
        "",
        "bad proposer",
    ),
    mutant(
        "outcome of a block believed, whatever state it leads to",
        "ledger.state_diff",
        "    if tree.root != header.state_root:\n",
        "    if False:\n",
        "lying outcomes",
    ),
    mutant(
        "receipts of an outcome believed",
        "node.decided",
        "if item.receipt_root != block.header.receipt_root:",
        "if False:",
        "lying outcomes",
    ),
    mutant(
        "transactions of an outcome believed",
        "node.batches",
        "if root != item.block.header.tx_root:",
        "if False:",
        "lying outcomes",
    ),
    mutant(
        "outcomes taken over without a quorum behind the block",
        "types",
        "    if len(cert.signers) < quorum(len(validators)):\n",
        "    if False:\n",
        "lying outcomes",
    ),
    mutant(
        "time of a block unchecked",
        "node.candidates",
        "return header.round == round_ and",
        "return True or",
        "bad proposer",
    ),
    mutant(
        "proposer of a block unchecked",
        "node.candidates",
        "if header.proposer != proposer_of(header, validators):",
        "if False:",
        "bad proposer",
    ),
    mutant("parent of a block unchecked", "node.candidates", "if header.parent != parent_id:", "if False:", "bad proposer"),
    mutant(
        "body of a block believed",
        "node.candidates",
        "self.complete = list_root(self.ids) == self.header.tx_root",
        "self.complete = True",
        "lying relay",
    ),
    Mutant(
        "nothing sent again",
        (
            Edit(
                "learningchain.chain.consensus.resend",
                "    if s.own is None:\n        return messages, 0\n",
                "    return messages, 0\n",
            ),
            Edit(
                "learningchain.chain.consensus.resend",
                "    if last is not None and peer.height == last.height:\n",
                "    return []\n    if last is not None:\n",
            ),
        ),
        "lossy",
    ),
    mutant("silent peer asked again for ever", "node.sync", "self.failed(self._asked.peer, now)", "return None", "lying sync"),
    mutant("mempool unbounded", "node.space", "if bound >= kind and used > LIMITS[bound]:", "if False:", "crowd"),
    mutant(
        "what is not ready takes all room of an account",
        "node.mempool",
        "if kind == GAP and self.space.kinds[GAP].of(account) + held.size > space.GAP_SHARE:",
        "if False:",
        "hoarder",
    ),
    mutant(
        "full mempool makes no room", "node.space", "return largest.last(holder) if held >", "return None if held >=", "hoarder"
    ),
    mutant(
        "full mempool makes room for everybody",
        "node.space",
        "if held > sum(holders.of(account) for holders in own) + size else None",
        "if held else None",
        "hoarder",
    ),
    mutant(
        "announcements unbounded",
        "node.relay",
        "if held >= MAX_OF_PEER:",
        "if False:",
        "flood",
    ),
    mutant("questions of a peer unbounded", "node.service", "if self.open(peer) >= MAX_OPEN:", "if False:", "questions"),
    mutant(
        "questions of all peers read at once",
        "node.service",
        "if len(self._reading) >= MAX_READS or not",
        "if not",
        "questions",
    ),
    mutant(
        "questions of a peer answered at any rate",
        "node.service",
        " and self._bucket(peer, what, now).ready(now)",
        "",
        "questions",
    ),
    mutant("questions of all peers answered at any rate", "node.service", " or not self._all.ready(now)", "", "questions of two"),
    mutant(
        "read for a peer that takes nothing",
        "node.service",
        "self.queued(peer, what.queue) < what.max_queued and ",
        "",
        "questions",
    ),
)
