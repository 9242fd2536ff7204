"""What a node does by itself about predictions: server, requester, keys, sealed answers, tables. Pure machines and their
helpers."""
