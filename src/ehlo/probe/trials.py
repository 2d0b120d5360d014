"""Which versions of TLS a server takes: one short session for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ehlo.net.session import Session
from ehlo.net.settings import TLS_VERSIONS
from ehlo.probe.plan import Plan
from ehlo.probe.walk import client_session
from ehlo.smtp.stages import Stage
from ehlo.transcript.event import Event, JsonValue


class Trial(NamedTuple):
    """One version of TLS: whether the handshake worked, and with what or why not."""

    version: str
    worked: bool
    detail: str

    def to_json(self) -> dict[str, JsonValue]:
        """The trial as it stands in JSON documents."""
        return {"version": f"TLSv{self.version}", "worked": self.worked, "detail": self.detail}


def trials(plan: Plan, run: Callable[[Session], None]) -> Iterator[Trial]:
    """Try every version, the newest first. Nothing is said in these sessions but what TLS needs."""
    for version in reversed(TLS_VERSIONS):
        settings = plan.tls._replace(minimum=version, maximum=version)
        starttls = "require" if plan.starttls == "auto" else plan.starttls
        stop: Stage = "tls" if plan.target.tls_on_connect else "starttls"
        short = plan._replace(tls=settings, starttls=starttls, stop_after=stop, verify="", xclient=())
        session = client_session(short)
        run(session)
        yield _outcome(version, session.recorder.events)


def _outcome(version: str, events: list[Event]) -> Trial:
    for event in events:
        if event.kind == "tls" and "error" not in event.facts:
            return Trial(version, True, " ".join(filter(None, (event.fact("cipher"), event.fact("group")))))
    problem = next((event for event in reversed(events) if "error" in event.facts), None)
    return Trial(version, False, problem.fact("message") if problem is not None else "there was no handshake")
