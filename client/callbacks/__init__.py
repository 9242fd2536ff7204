"""Callbacks: what happens to something on the ledger is told to a URL of the user's, at least once, signed, in order.

    add (durable, before the message leaves) -> blocks are followed -> a row for each (reference, event) -> POST -> delivered
                                                                                    ^                       |
                                                                                    +-- 1 s, 2 s ... 1 h ---+ 410, 3 days: given up

URL and secret stay in this node. Nothing is lost between a decided height and its row: the heights are the block store's, whose
receipts hold every event, and the database here keeps in one transaction with the rows up to which height they were read. A node
that was killed reads on from there. Where blocks are missing (a snapshot, dropped ones), the state says what has happened.

It knows no contract: the slice of one whose events are told has a `CallbackPart` (`following`).

    addresses, urls, resolving   what may be called: which addresses, the form of URLs, how names are looked up
    signatures  the secret and the signed headers (Standard Webhooks)
    schedule  who is next, and how many at a time: pure
    database  targets and rows on this disk
    posting   one attempt
    following how blocks become rows
    service   puts them together
"""
