"""The SDK: a node and what is on it as objects (`connecting.connect`), on each call of its API as typed Python, asynchronous
(`client.Client`) and blocking (`client.SyncClient`)."""
