"""Real mail programs, each started by one context manager, for tests to talk to.

Everything listens on loopback only, lives in a folder of its own, and is gone when its context
manager is left. A program that this machine does not have raises :class:`~.debian.PeerMissing`;
the fixtures turn that into a skip whose reason starts with ``peer missing:``.

All servers agree on one small world (see :mod:`.world`): they are ``mail.example.com``, take mail
for three mailboxes of ``example.com``, refuse every other recipient and one sender, relay nothing.
"""
