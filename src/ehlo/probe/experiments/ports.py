"""How each port of the server speaks: one connection to a port tells.

A server that greets in clear speaks first (RFC 5321 §3.1), and its EHLO reply says whether it has STARTTLS. One that
begins with TLS (RFC 8314 §3) says nothing until the client does. So the connection listens for a while, and then
begins a handshake; that is all, and nobody has to be called twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ehlo.diagnosis.judge import judge
from ehlo.net.errors import SessionError
from ehlo.net.intents import Flow, Receive
from ehlo.net.session import Session
from ehlo.probe.experiments.bench import Bench, Trial, summary_of
from ehlo.probe.plan import Plan
from ehlo.probe.talk import Asking, NotDone, Talk
from ehlo.smtp.client import ClientConnection
from ehlo.smtp.command import Command
from ehlo.smtp.events import ReplyReceived
from ehlo.smtp.states import ALLOWED
from ehlo.transcript.transcript import Recorder


def trials(bench: Bench) -> Iterator[Trial]:
    """Each port where mail servers listen, and the one that was asked for."""
    for port in dict.fromkeys((*bench.wishes.ports, bench.plan.target.port)):
        yield Knock(bench.plan, port, bench.wishes.listen).trial(bench)


class Knock:
    """One connection to a port, that finds out how it speaks."""

    def __init__(self, plan: Plan, port: int, listen: float) -> None:
        target = plan.target._replace(port=port, scheme="smtp")
        plan = plan._replace(target=target, credentials=None, recipients=(), verify="", xclient=())
        connection = ClientConnection()
        recorder = Recorder("client", str(target))
        self.port = port
        self.clear = self.starttls = self.tls = False
        self._listen = listen
        self._said = ""
        self._talk = Talk(connection, recorder, plan)
        self._session = Session(connection, recorder, self._flow(), "client")

    def trial(self, bench: Bench) -> Trial:
        """Knock, and say what was found."""
        bench.perform(self._session)
        transcript = self._session.recorder.transcript
        verdict = judge(transcript)
        # Whoever answers a handshake in clear was about to greet, only later.
        late = not self.tls and any(finding.rule == "tls-on-plaintext-port" for finding in verdict.findings)
        speaks = {"clear": self.clear or late, "starttls": self.starttls, "tls": self.tls}
        if not any(speaks.values()):
            return Trial(f"port {self.port}", False, self._said or summary_of(verdict, transcript), speaks=speaks)
        how = "TLS from the start" if self.tls else "in clear" if self.clear else "in clear, after a long silence"
        if self.starttls:
            how += ", STARTTLS"
        elif self.clear and "STARTTLS" in self._talk.capabilities:
            how += ", STARTTLS fails"
        detail = ": ".join(filter(None, (how, self._said)))
        return Trial(f"port {self.port}", True, detail, "late" if late else "", speaks=speaks)

    def _flow(self) -> Flow:
        talk = self._talk
        try:
            yield from talk.connect(talk.plan.target.host, (yield from talk.find_addresses(talk.plan.target.host)))
            if (yield from self._is_greeted()):
                yield from self._in_clear()
            else:
                yield from self._encrypted()
        except NotDone:
            pass
        if "QUIT" in ALLOWED[talk.conn.state]:
            yield from talk.ask(Command("QUIT"))

    def _is_greeted(self) -> Asking[bool]:
        try:
            event: ReplyReceived = yield Receive(self._listen)
        except SessionError as error:
            if error.error != "timed-out":
                raise
            return False
        self._said = str(event.reply)
        self.clear = event.reply.category == 2
        return True

    def _in_clear(self) -> Asking[None]:
        talk = self._talk
        if self.clear and (yield from talk.greet()).category == 2 and "STARTTLS" in talk.capabilities:
            yield from talk.starttls()
            self.starttls = talk.tls is not None

    def _encrypted(self) -> Asking[None]:
        yield from self._talk.handshake("tls")
        reply = yield from self._talk.greeting()
        self._said = str(reply)
        self.tls = reply.category == 2


def conclude(bench: Bench, trials: Sequence[Trial]) -> str:
    """What the ports show about the one that was asked for."""
    target = bench.plan.target
    own = next((trial for trial in trials if trial.what == f"port {target.port}"), None)
    speaks = own.speaks if own is not None and own.speaks is not None else {}
    if target.tls_on_connect:
        as_asked, otherwise = speaks.get("tls"), speaks.get("clear")
    else:
        as_asked = speaks.get("starttls" if bench.verdict.stage == "starttls" else "clear")
        otherwise = speaks.get("tls")
    if as_asked and own is not None:
        # One that greets, but late, is as the first session found it.
        return "" if own.seen == "late" else "works-now"
    if otherwise:
        return "other-tls-mode"
    if any(trial.worked for trial in trials if trial is not own):
        return "other-port"
    return "" if own is not None and own.worked else "no-port-works"
