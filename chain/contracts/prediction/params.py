"""What genesis fixes for the prediction contract. Spec: LC-PRE-48."""

from __future__ import annotations

from typing import Annotated

from learningchain.chain.errors import Malformed
from learningchain.chain.params import CREDIT, ContractParams, MicroCredits, Positive, SomeMicroCredits, Span, Votable

_HOUR = 3_600_000
_WINDOW = Votable(1_000, 24 * _HOUR)


class PredictionParams(ContractParams, frozen=True, kw_only=True):
    """Times in milliseconds of the chain clock, credits in micro-credits."""

    pred_sub: Annotated[MicroCredits, Votable(0, CREDIT)] = 20_000
    """The most that is minted for a seat that is paid by values."""
    pred_epoch: Annotated[Span, Votable(60_000, 366 * 24 * _HOUR)] = _HOUR
    pred_epoch_sub: Annotated[MicroCredits, Votable(0, 1_000_000 * CREDIT)] = 100 * CREDIT
    """The most that is minted in an epoch."""
    pred_stake: Annotated[SomeMicroCredits, Votable(1_000, 1_000_000 * CREDIT)] = CREDIT
    """The part of a server's least stake that does not depend on the floor."""
    pred_deposit: Annotated[SomeMicroCredits, Votable(1_000, 1_000_000 * CREDIT)] = CREDIT
    """What a model's owner locks."""
    pred_fee: Annotated[SomeMicroCredits, Votable(100, 1_000 * CREDIT)] = 10_000
    """The least fee of an appeal's vote, and what a policy locks."""
    pred_a0: Annotated[Span, _WINDOW] = 3_000
    """A0: the part of the window of answers that does not depend on the request."""
    pred_open: Annotated[Span, _WINDOW] = 2_000
    """W_O"""
    pred_keys: Annotated[Span, _WINDOW] = 5_000
    """W_K"""
    pred_appeal: Annotated[Span, Votable(1_000, 30 * 24 * _HOUR)] = 600_000
    """W_P"""
    pred_vote_base: Annotated[Span, _WINDOW] = 120_000
    """V0: the part of an appeal's window that does not depend on the request."""
    pred_open_votes: Annotated[Span, _WINDOW] = 60_000
    """W_O3"""
    pred_keep: Annotated[Span, Votable(60_000, 366 * 24 * _HOUR)] = 30 * 24 * _HOUR
    """KEEP: how long a result stays in the state."""
    pred_servers: Annotated[Positive, Votable(16, 256)] = 256
    """Servers of a model."""
    pred_models: Annotated[Positive, Votable(1, 256)] = 256
    """Live models of an owner."""
    pred_waiting: Annotated[Positive, Votable(16, 1_024)] = 1_024
    """Requests that wait for a model."""
    pred_waiting_own: Annotated[Positive, Votable(1, 1_024)] = 64
    """Of them of one requester."""
    pred_row: Annotated[MicroCredits, Votable(0, 1_000_000)] = 5
    """What burns at least for each row that is kept, and for sixteen more."""

    def check(self) -> None:
        """Bounds that genesis may not leave either: records have their size by them."""
        if self.pred_servers > 256:
            raise Malformed("pred_servers is above 256: a draw looks at all servers of a model")
        if self.pred_waiting > 1_024:
            raise Malformed("pred_waiting is above 1024: the queue of a model is gone through")
