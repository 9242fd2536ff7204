"""The content store: files by IPFS CID, kept on disk, fetched from peers in verified pieces.

`cid` names content, `dag` is the layout of the tree above a file's pieces, `store` keeps files on disk, `exchange` and `serving`
are the protocol as machines without I/O, `service` runs them in an asyncio loop. Nothing here knows the ledger: who may be served
what is a predicate that the composition root hands in.
"""
