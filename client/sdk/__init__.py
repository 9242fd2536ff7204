"""The SDK: a node's API as typed Python, asynchronous (`client.Client`) and blocking (`client.SyncClient`)."""
