"""A session between a flow and a driver, without a network."""

from __future__ import annotations

import socket

from ehlo.net.intents import Address, Connect, Read, Resolve
from ehlo.probe.conversation import Conversation
from ehlo.probe.plan import Plan
from ehlo.probe.target import parse_target


def test_what_comes_after_the_end_is_not_recorded() -> None:
    """The other side may go on talking until it learns that nobody listens."""
    conversation = Conversation(Plan(parse_target("127.0.0.1:25")))
    session = conversation.session
    here = Address(socket.AF_INET, "127.0.0.1", 25)
    assert isinstance(session.start(), Resolve)
    assert isinstance(session.resume((here,)), Connect)
    assert isinstance(session.resume(here), Read)
    session.data_received(b"220 mail.example.com ESMTP\r\n")
    session.abandon("interrupted")
    session.data_received(b"421 4.4.2 too slow\r\n")
    events = conversation.recorder.transcript.events
    assert [event.kind for event in events] == ["connect", "line", "error", "close"]
