"""Callbacks: what happens to something on the ledger is told to a URL of the user's, at least once, signed, in order.

    add (durable, before the message leaves) -> blocks are followed -> a row for each (reference, event) -> POST -> delivered
                                                                                    ^                       |
                                                                                    +-- 1 s, 2 s ... 1 h ---+ 410, 3 days: given up

URL and secret stay in this node. Nothing is lost between a decided height and its row: the heights are the block store's, whose
receipts hold every event, and the database here keeps in one transaction with the rows up to which height they were read. A node
that was killed reads on from there. Where blocks are missing (a snapshot, dropped ones), the state says what has happened.

It knows no contract. A slice of the client that has a module `callbacks` says which events of the ledger are told:

    NAMES     what may happen, as callbacks call it: letters
    LAST      the names after which nothing comes
    named     (topic, what the event noted) -> the name of an event of the ledger, None where it is not told
    happened  (reader, reference) -> the names of what has happened, in order, from the state alone
    data      (reader, reference, name, what the event noted or None) -> what is said with it, as JSON

and, where this node keeps a secret that makes plain what is said (the URL is of who asked):

    secret_of (reader, reference) -> kind and key of the secret among what the node's work keeps, or None
    opened    (reader, reference, data, secret) -> the data as the node's own user sees them

and, where references leave the state (a node that has not all blocks may not see how):

    knows     (reader, reference) -> whether it stands there
    left      (reader, names told, when it was known, clock) -> the last name, for one that stands nowhere and can come no more

    addresses, urls, resolving   what may be called: which addresses, the form of URLs, how names are looked up
    signatures  the secret and the signed headers (Standard Webhooks)
    schedule  who is next, and how many at a time: pure
    database  targets and rows on this disk
    posting   one attempt
    following how blocks become rows
    service   puts them together
"""
