"""The lab's authority and its certificates are made when they are first needed, and once."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ehlo.lab import Lab
from ehlo.lab.authority import Authority


def test_whoever_asks_first_there_is_one_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client asks for the authority to trust on its own thread, and the lab's thread is in a handshake by then."""
    slow = threading.Barrier(2)
    make = Authority.__init__

    def make_together(self: Authority, *names: str) -> None:
        # Passed at once by two that make an authority each, and after a moment by one alone.
        with contextlib.suppress(threading.BrokenBarrierError):
            slow.wait(1.0)
        make(self, *names)

    monkeypatch.setattr(Authority, "__init__", make_together)
    lab = Lab()
    with ThreadPoolExecutor(2) as threads:
        first, second = (future.result() for future in [threads.submit(lambda: lab.identity) for _ in range(2)])
    assert first == second
    assert first.authority == lab.authority.certificate
