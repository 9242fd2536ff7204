"""Tells the node's operator of cases, votes, invitations and payments as they come: a signed webhook, a command, or both.

    blocks, notices -> events (pure) -> a queue with an end -> webhook, tried again for a while
                                                           -> command, one at a time, without a shell

A convenience, not a record: what waits lies in memory, what is certain stands on the ledger (`learningchain history`, `status`).
Nothing here holds up the loop that votes. It knows no contract: the slice of one whose events are told has a `NotifyPart`
(`events`).
"""
