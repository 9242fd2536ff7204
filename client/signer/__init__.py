"""A signer in a process or on a machine of its own: a validator's key and last-signed guard. Spec: protocol_spec/remote-signer.md.

    node (driver, ledger, network)      RemoteSigner -- TLS, one request after the other --> SignerServer      key, guard
        votes and proposals, Abstain, transactions, the TLS key's binding, secrets of the beacon

`pairing` makes the file that lets one node reach one signer, `messages` is what passes between them, `server` answers, `remote`
asks and comes back after every loss. The node signs nothing by itself: while the signer is out of reach it goes on as an observer.
"""
