"""Names, addresses, sockets and TLS; sessions, and the two drivers that run them.

`session` turns a flow's intents and a peer's bytes into each other; `blocking` and `aio` move the bytes.
"""
