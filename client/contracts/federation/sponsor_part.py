"""The sponsor's part on a node. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from learningchain.client.contracts.federation.member_part import member_files
from learningchain.client.contracts.federation.part import FedPart
from learningchain.client.contracts.federation.roles.sponsor import SponsorMachine
from learningchain.client.contracts.federation.wishes import SponsorWish, Wish
from learningchain.client.work.boxes import OwnBoxKeys
from learningchain.client.work.events import Effect
from learningchain.client.work.machine import Recalled


class SponsorPart(FedPart):
    wishes = "sponsor"
    machine: SponsorMachine

    def __init__(self, machine: SponsorMachine, known: Recalled, keys: OwnBoxKeys) -> None:
        super().__init__(machine, known, keys, member_files)

    @property
    def runs(self) -> bool:
        """Training on the reference data."""
        return any(one.data for one in self.machine.book.opened)

    def engaged(self) -> Iterable[bytes]:
        return (one.federation for one in self.machine.book.opened if one.data)

    def wished(self, wish: Wish) -> Iterator[Effect]:
        if isinstance(wish, SponsorWish):
            yield from self._say(wish)
