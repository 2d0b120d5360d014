"""A session is over when its client is gone and its flow has ended, whichever is last."""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path

import pytest

from ehlo.lab import Lab
from ehlo.lab.store import Store


@pytest.mark.parametrize("kept", ["memory", "file"])
def test_who_resets_while_the_lab_waits_is_recorded_to_the_end(kept: str, tmp_path: Path) -> None:
    lab = Lab(store=Store(str(tmp_path / "store.db") if kept == "file" else ""))
    with lab.running() as running:
        running.fault("banner", delay=1.0)
        with socket.create_connection((running.host, running.port), timeout=30) as client:
            deadline = time.monotonic() + 30
            while not any(session.events for session in running.sessions) and time.monotonic() < deadline:
                time.sleep(0.01)
            # Without lingering, closing is a reset.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        while lab.is_running(1) and time.monotonic() < deadline:
            time.sleep(0.01)
        (transcript,) = running.sessions
    last = transcript.events[-1]
    assert (last.kind, last.who) == ("close", "client")
    assert last.began < last.t
