"""What people are told of a federation whose model is small and whose updates are summed in a cell: figures of games, in words.

`docs/federation.md` has where they come from. A cosine of 1 is the update itself, 0 says nothing of it.
"""

from __future__ import annotations

from typing import Final

OF_A_CELL: Final = (
    "a sum of a few owners is read by everybody, with noise: it points this node's way at cosine 0.5 to 0.6 at the first model, "
    "where all owners' updates are alike, 0.3 after three rounds, 0.2 after eight; to an aggregator 0.6, 0.4, 0.25",
    "a sponsor whose evaluator finds no progress has one model trained on as often as it likes: five sums on the first model point "
    "this node's way at cosine 0.6 to 0.7; its losses stand on the ledger, so leave",
    "two of the three aggregators together, or all others of the cell together, read this node's update; all others but one point "
    "its way at cosine 0.5 from one sum, 0.65 to 0.75 from five on the first model, 0.75 to 0.8 from twenty",
    "two friends among the aggregators have the third out for good by saying another thing: in twenty attempts two of five are "
    "then drawn together 17 times, two of seven 8; of ten and more hardly more often than by chance",
    "who leaves, or is silent, is guessed from the sums before and after: cosine 0.3 from two sums, 0.6 from ten; by an aggregator "
    "that is drawn each time 0.5 and 0.75",
    "nobody can remove you from the cell but by closing; a sponsor whose image fails on your data three times can",
    "if you send nothing within the round's time in three of 16 attempts you are out of the cell for good; you may join again, "
    "and wait until four do; one of four or five aggregators that denies files, with an owner beside it, cost two of four others "
    "their places in twelve rounds, although they had sent them",
    "where one of the cell sends nothing, or what is not proved, nobody of it is summed or paid in that attempt: two of five who "
    "take turns spoil four of sixteen attempts for good, and keep their places; owners of more than half of an attempt's files who "
    "serve nobody stop their cells to the last start, and lose nothing by it",
    "one bad owner of five can halve what is reached or stop it, and is paid like the others; the best model never gets worse",
    "use these data in this federation only: in a second one the sums of the two are compared, cosine 0.5 to 0.7",
    "the noise is a blur, no proof of privacy: epsilon is above 100",
)
"""To who joins."""
OF_HALVES: Final = (
    "half of the pay goes by what each cell reaches alone: beside a bad one in your cell you may get half of an equal share, and "
    "where so many of your cell go that fewer are left than a sum needs, three or more, you wait unpaid",
)
"""To who joins, where the split is so."""
OF_SEVERAL_AT_REST: Final = (
    "where too few of two cells or more carry the verifier flag, sixteen of their members go on as one cell; who else is of them "
    "is out by lot and waits, and is guessed as who leaves: cosine 0.4 from the sums before and after",
)
"""To who joins where the flag counts and more may be in than a cell has."""
WITHOUT_REFERENCE: Final = (
    "there is no reference: two bad owners of twelve leave 93 to 108 % of what is reached without them and their data, four of "
    "sixteen 86 to 118 %, in the worst runs 76 and 64 %",
)
"""To who joins, where nothing is held against the updates."""
TO_SPONSOR: Final = (
    "The model is small, so its updates are summed in cells of four owners or more, of three to seven owners in one, beside your "
    "reference where you have one: nobody reads one. You pay what the measured best is worth, whoever made it: of 21 values, "
    "owners who send noise beside a reference were paid 72 to 96 % of it, 15 to 91 % without one. Admit whom you know: owners of "
    "more than half of the files who serve them to nobody stop it. Close when the cells add nothing to what your reference "
    "reaches. What your reference data say, one direction a round, is public. You cannot remove a member that has a cell. Of three "
    "aggregators one that lies about files stops it, with four or five two do."
)
OPEN_ALTHOUGH_SMALL: Final = (
    "Sums of so small a model take three owners or more, your own data as a reference (from twelve owners on it goes without), at "
    "most 20 rounds of ten minutes or more, and three nodes that serve such federations (learningchain fed serve on)."
)
