"""The lab server: sessions by `serve`, certificates by `authority`, faults by `faults`, what came in by `store`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from ehlo.lab.authority import Authority, Identity, first_certificate, server_context
from ehlo.lab.faults import Fault, Faults
from ehlo.lab.persona import Persona, load_persona
from ehlo.lab.policy import Envelope, Message, Policy, check_policy
from ehlo.lab.routine import Routine
from ehlo.lab.serve import Certificates, Entry, Serve
from ehlo.lab.store import Store
from ehlo.net.aio import Server
from ehlo.net.intents import Flow, Need, Send, endpoint
from ehlo.net.session import Session
from ehlo.smtp.address import parse_path
from ehlo.smtp.reply import Reply, fitted
from ehlo.smtp.server import ServerConnection
from ehlo.transcript.event import Event
from ehlo.transcript.transcript import Recorder, Transcript

if TYPE_CHECKING:
    from ehlo.lab.running import RunningLab
    from ehlo.lab.scenario import Scenario

_LOG = logging.getLogger("ehlo.lab")

#: How often what came in is written to the store, and memory is looked after, in seconds.
_TICK = 0.2

#: Of a single session's transcript so much is kept: events, and octets of messages.
_MAX_EVENTS = 50_000
_MAX_OCTETS = 100_000_000

#: The doors of a lab, each a port: in clear, TLS on connect (RFC 8314), LMTP (RFC 2033), and behind a proxy.
Door = Literal["smtp", "smtps", "lmtp", "proxy"]
DOORS: tuple[Door, ...] = get_args(Door)
_ENTRIES: dict[Door, Entry] = {
    "smtp": Entry(),
    "smtps": Entry(tls=True),
    "lmtp": Entry(lmtp=True),
    "proxy": Entry(proxy=True),
}


class DoorError(OSError):
    """The lab cannot listen at a door. `why` is the reason in a few words; `at_host` says that no port would do."""

    def __init__(self, door: Door, port: int, why: str, *, at_host: bool) -> None:
        super().__init__(why)
        self.door = door
        self.port = port
        self.why = why
        self.at_host = at_host


class Watcher:
    """Hears of what happens in a lab, on the lab's thread. A watcher overrides what it wants to hear.

    One that is not `attentive` is spared the single events of sessions, which are very many.
    """

    attentive = True

    def began(self, number: int, transcript: Transcript) -> None:
        """A session has begun."""

    def happened(self, number: int, event: Event) -> None:
        """Something was recorded in a session."""

    def ended(self, number: int) -> None:
        """A session is over."""

    def received(self, envelope: Envelope) -> None:
        """A message was taken."""

    def faults_changed(self) -> None:
        """A fault came, went, was switched, or has struck."""

    def scenario_changed(self) -> None:
        """Another scenario is in use."""


class Companion(Protocol):
    """What runs beside a lab, on its event loop and at its host: the page."""

    async def start(self, host: str) -> None:
        """Begin. Raises `OSError`."""

    async def stop(self) -> None:
        """End."""


class Lab:
    """A mail server to practise and to test against. It delivers nothing and relays nothing.

    How it behaves comes from a `scenario`, or from a `persona`, a `policy` and `faults` of one's own, which outweigh
    the scenario's; `adapt` changes every scenario that it takes up. What comes in is kept in `store`;
    None keeps nothing. Use it on an event loop with `start` and `stop`, or from ordinary code with `running()`.
    """

    def __init__(
        self,
        persona: Persona | None = None,
        policy: Policy | None = None,
        *,
        scenario: Scenario | None = None,
        faults: Iterable[Fault] = (),
        seed: int = 0,
        identity: Identity | None = None,
        store: Store | Literal["memory"] | None = "memory",
        watchers: Iterable[Watcher] = (),
        adapt: Callable[[Scenario], Scenario] | None = None,
    ) -> None:
        faults = tuple(faults)
        self._adapt = adapt
        self._watchers: list[Watcher] = list(watchers)
        self.persona = persona or load_persona()
        self.policy = policy or Policy()
        self.scenario: Scenario | None = None
        self.store = Store() if store == "memory" else store
        self.faults = Faults(faults, seed=seed, on_change=self._faults_changed)
        self.ports: dict[str, int] = {}
        self.host = ""
        self.companions: list[Companion] = []
        if scenario is not None:
            scenario = adapt(scenario) if adapt else scenario
            self._take_up(scenario)
            self.persona, self.policy = persona or self.persona, policy or self.policy
            faults, seed = (*scenario.faults, *faults), seed or scenario.seed
            self.faults.replace(faults, seed)
        self._routine = Routine(self.persona, self.policy)
        self._original = (self.persona, self.policy, self.scenario, faults, seed)
        self._given_identity = identity
        self._authority: Authority | None = None
        self._founding = threading.Lock()
        self._contexts: dict[tuple[str, str, str, str, bool], ssl.SSLContext] = {}
        self._certificates = Certificates(self._context, self._endpoint)
        self._servers: list[Server] = []
        self._ticking: asyncio.Task[None] | None = None
        self._sessions: dict[Session, _Place] = {}
        self._from: Counter[str] = Counter()
        self._count = self.store.last_session if self.store else 0
        self._before = self._count
        #: How many messages have been taken since the lab was made, whatever has become of them.
        self.message_count = 0
        self._crowded = False
        self._arrival = threading.Condition()
        self._awaited = 0

    # What came in.

    @property
    def messages(self) -> list[Message]:
        """The messages that are kept, the newest last."""
        return self.store.received() if self.store else []

    @property
    def sessions(self) -> list[Transcript]:
        """The transcripts of the sessions that are kept, those that run among them, the newest last."""
        return self.store.transcripts() if self.store else []

    @property
    def session_count(self) -> int:
        """How many sessions there have been since the lab was made."""
        return self._count - self._before

    def is_running(self, number: int) -> bool:
        """Whether a session has not ended yet."""
        return any(place.number == number for place in tuple(self._sessions.values()))

    def wait_until(self, holds: Callable[[], bool], timeout: float) -> bool:
        """Wait, on another thread than the lab's, for what messages or the ends of sessions bring about; whether it
        holds."""
        end = time.monotonic() + timeout
        with self._arrival:
            self._awaited += 1
            try:
                while not (so := holds()):
                    left = end - time.monotonic()
                    if left <= 0 or not self._arrival.wait(left):
                        return holds()
                return so
            finally:
                self._awaited -= 1

    # How it behaves.

    def reset(self) -> None:
        """Behave as in the beginning, without a fault, and forget what came in."""
        self.persona, self.policy, self.scenario, faults, seed = self._original
        self.faults.clear()
        self.faults.replace(faults, seed)
        if self.store is not None:
            self.store.delete(None)
            self.store.forget_sessions()

    def use(self, scenario: Scenario) -> None:
        """Behave like this from the next session on. Faults switch at once; those added by hand stay.

        Raises `ScenarioError` for what a lab that runs cannot do, and then stays as it is.
        """
        self._take_up(self._adapt(scenario) if self._adapt else scenario)
        for watcher in self._watchers:
            watcher.scenario_changed()

    def _take_up(self, scenario: Scenario) -> None:
        persona = load_persona(scenario.persona)
        if self.ports:
            check_policy(scenario.policy, persona, tls_port="smtps" in self.ports)
        self.persona = persona.at(scenario.host) if scenario.host else persona
        self.policy = scenario.policy
        self.scenario = scenario
        self.faults.replace(scenario.faults, scenario.seed)

    @property
    def reached_at(self) -> str:
        """The host at which programs on this machine reach it: who listens everywhere is also reached here."""
        return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104

    def environment(self, authority: Path, url: str = "") -> dict[str, str]:
        """Variables that tell programs where the lab is, those of Django, Flask-Mail and Laravel among them.

        `authority` is a file with the certificate of the lab's authority, `url` the page's, if there is one.
        """
        host, port = self.reached_at, str(self.ports["smtp"])
        return {
            "EHLO_LAB_HOST": host,
            "EHLO_LAB_PORT": port,
            **({"EHLO_LAB_URL": url} if url else {}),
            "EHLO_LAB_CA": str(authority),
            **dict.fromkeys(("SMTP_HOST", "EMAIL_HOST", "MAIL_SERVER", "MAIL_HOST"), host),
            **dict.fromkeys(("SMTP_PORT", "EMAIL_PORT", "MAIL_PORT"), port),
        }

    def watch(self, watcher: Watcher) -> None:
        """Tell one more of what happens."""
        self._watchers.append(watcher)
        for place in self._sessions.values():
            place.recorder.listen(self._listener(place.number))

    def _faults_changed(self) -> None:
        for watcher in self._watchers:
            watcher.faults_changed()

    # Certificates.

    @property
    def authority(self) -> Authority:
        """Who signs the lab's own certificates; made when first needed."""
        # Who is about to connect asks on a thread of its own, while the lab may be in a handshake already.
        with self._founding:
            if self._authority is None:
                self._authority = Authority("localhost", "127.0.0.1", "::1")
            return self._authority

    @property
    def identity(self) -> Identity:
        """The server's certificate: the one given, or one that is made when first needed."""
        return self._given_identity or self.authority.issue(host=self.persona.host)

    def _identity(self, kind: str) -> Identity:
        return self.authority.issue(kind, self.persona.host) if kind else self.identity

    def _context(self, kind: str, lowest: str, highest: str) -> ssl.SSLContext:
        # For AUTH EXTERNAL a client has to show who it is.
        clients = self.authority.certificate if "EXTERNAL" in self.policy.offered else b""
        key = (kind, lowest, highest, self.persona.host, bool(clients))
        if key not in self._contexts:
            self._contexts[key] = server_context(self._identity(kind), lowest, highest, clients=clients)
        return self._contexts[key]

    def _endpoint(self, kind: str) -> bytes:
        """The channel binding tls-server-end-point of the server's certificate."""
        from ehlo.net.certificates import endpoint_hash

        return endpoint_hash(first_certificate(self._identity(kind).certificate))

    # Its life.

    async def start(self, host: str = "127.0.0.1", port: int = 0, doors: Mapping[Door, int] | None = None) -> int:
        """Listen at `port` for SMTP, and at each of the other `doors`; 0 is any that is free.

        Gives the SMTP port; `ports` has all of them. Raises `OSError` when that is not possible, and for a door's port
        `DoorError`; `ScenarioError` for a policy that no client can do justice to.
        """
        check_policy(self.policy, self.persona, tls_port="smtps" in (doors or {}))
        self.host = host
        try:
            for door, wanted in {"smtp": port, **(doors or {})}.items():
                server = Server(partial(self._make_session, _ENTRIES[door]), self._ended, self._crashed)
                self.ports[door] = await _listen(server, host, wanted, door)
                self._servers.append(server)
            for companion in self.companions:
                await companion.start(host)
        except OSError:
            await self.stop()
            raise
        self._ticking = asyncio.create_task(self._tick())
        return self.ports["smtp"]

    async def stop(self) -> None:
        """Stop listening, say goodbye to the clients, and write what waits. The store stays open."""
        farewell = self.persona.say("shutdown").encode()
        for server in self._servers:
            await server.stop(farewell)
        self._servers.clear()
        for companion in self.companions:
            await companion.stop()
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking
            self._ticking = None
        for session in tuple(self._sessions):
            self._ended(session)
        if self.store is not None:
            self.store.settle()

    def running(self, host: str = "127.0.0.1", port: int = 0, doors: Mapping[Door, int] | None = None) -> RunningLab:
        """The lab in a thread of its own: `with Lab().running() as lab: lab.port`."""
        from ehlo.lab.running import RunningLab

        return RunningLab(self, host, port, doors)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            if self.store is not None:
                self.store.settle()
            self._bound_memory()
            for place in self._sessions.values():
                place.bound_transcript()

    def _bound_memory(self) -> None:
        """While unfinished messages take too much, no further ones are begun, and these are not kept whole."""
        held = sum(place.connection.held for place in self._sessions.values())
        memory = self.policy.limits.memory
        were, self._crowded = self._crowded, 0 < memory < held
        if self._crowded:
            for place in self._sessions.values():
                place.connection.max_message = min(place.connection.max_message, place.connection.held)
        elif were:
            for place in self._sessions.values():
                place.connection.max_message = place.largest

    # Sessions.

    def _make_session(self, entry: Entry, host: str, port: int) -> Session | None:
        self._count += 1
        number, persona, policy, limits = self._count, self.persona, self.policy, self.policy.limits
        if not self._routine.is_of(persona, policy):
            self._routine = Routine(persona, policy)
        connection = ServerConnection(
            max_message=limits.size or persona.size, lmtp=entry.lmtp, lenient=policy.bare_lf == "lenient"
        )
        # Without a store only a watcher ever sees the transcript.
        keep = self.store is not None or bool(self._watchers)
        recorder = Recorder("server", endpoint(host, port), listener=self._listener(number), keep=keep)
        if self.store is not None:
            self.store.begin_session(number, recorder.transcript)
        for watcher in self._watchers:
            watcher.began(number, recorder.transcript)
        self._from[host] += 1
        place = _Place(number, host, connection, recorder)
        # Who comes through a proxy is known only from its header.
        if turned_away := self._turned_away("" if entry.proxy else host):
            flow = _goodbye(connection, turned_away)
        else:
            serve = Serve(
                connection,
                recorder,
                persona,
                policy,
                self.faults,
                self._routine,
                deliver=self._take,
                held=partial(self._held, policy),
                introduced=partial(self._introduced, number, recorder),
                proxied=partial(self._proxied, place),
                certificates=self._certificates,
                entry=entry,
                client=host,
                number=number,
            )
            flow = serve.flow()
        session = Session(connection, recorder, flow, "server")
        self._sessions[session] = place
        return session

    def _listener(self, number: int) -> Callable[[Event], None] | None:
        attentive = [watcher for watcher in self._watchers if watcher.attentive]
        if not attentive:
            return None
        if len(attentive) == 1:
            return partial(attentive[0].happened, number)

        def tell(event: Event) -> None:
            for watcher in attentive:
                watcher.happened(number, event)

        return tell

    def _proxied(self, place: _Place, host: str) -> Reply | None:
        """A session counts as one of the client that its proxy names; what that hears if there is no room for it."""
        self._gone(place.client)
        place.client = host
        self._from[host] += 1
        return self._turned_away(host, begun=True)

    def _gone(self, host: str) -> None:
        self._from[host] -= 1
        if not self._from[host]:
            del self._from[host]

    def _turned_away(self, host: str, *, begun: bool = False) -> Reply | None:
        """What a client hears for whom there is no room; `begun`: its session has got a place already."""
        limits, persona = self.policy.limits, self.persona
        if not begun and limits.sessions and len(self._sessions) >= limits.sessions:
            return persona.say("too-many-sessions")
        if host and limits.per_client and self._from[host] > limits.per_client:
            return persona.reply("too-many-from-client", address=host)
        return None

    def _introduced(self, number: int, recorder: Recorder, client: str) -> None:
        recorder.header = recorder.header._replace(target=client)
        if self.store is not None:
            self.store.change_session(number, recorder.transcript)

    def _take(self, envelope: Envelope) -> bool:
        if self._crowded or (self.store is not None and not self.store.add_message(envelope)):
            return False
        self.message_count += 1
        for watcher in self._watchers:
            watcher.received(envelope)
        if self._awaited:
            self._tell_waiting()
        return True

    def _tell_waiting(self) -> None:
        with self._arrival:
            self._arrival.notify_all()

    def _held(self, policy: Policy, mailbox: str) -> int:
        """How many messages a mailbox holds, by whatever address they came."""

        def is_for(address: str) -> bool:
            path = parse_path(address, brackets=False)
            return path.mailbox is not None and mailbox in policy.deliveries(path.mailbox)

        return self.store.held(is_for) if self.store else 0

    def _crashed(self, session: Session, error: Exception) -> Need:
        """A mistake in the lab itself has broken a session off: tell everybody, and end it in order."""
        place = self._sessions.get(session)
        where = traceback.extract_tb(error.__traceback__)[-1]
        words = fitted(" ".join(str(error).split()))
        what = f"{type(error).__name__}: {words} ({Path(where.filename).name}:{where.lineno})"
        _LOG.error("Session #%s was ended by a bug in ehlo: %s.", place.number if place else "?", what)
        _LOG.debug("The whole of it:", exc_info=error)
        farewell = Reply(421, (fitted(f"4.3.0 {self.persona.host} Error in the lab, which ends this session"),))
        return session.crashed(f"a bug in ehlo: {what}", farewell.encode())

    def _ended(self, session: Session) -> None:
        place = self._sessions.pop(session, None)
        if place is None:
            return
        self._gone(place.client)
        if self.store is not None:
            self.store.end_session(place.number, place.recorder.octets)
        for watcher in self._watchers:
            watcher.ended(place.number)
        if self._awaited:
            self._tell_waiting()


class _Place:
    """What the lab remembers of a session that runs."""

    __slots__ = ("client", "connection", "largest", "number", "recorder")

    def __init__(self, number: int, client: str, connection: ServerConnection, recorder: Recorder) -> None:
        self.number = number
        self.client = client
        self.connection = connection
        self.largest = connection.max_message
        self.recorder = recorder

    def bound_transcript(self) -> None:
        """A session that goes on and on is recorded up to a bound."""
        recorder = self.recorder
        if recorder.recording and (len(recorder.events) > _MAX_EVENTS or recorder.octets > _MAX_OCTETS):
            recorder.cut_off("this session is too long to be recorded any further")


async def _listen(server: Server, host: str, port: int, door: Door) -> int:
    try:
        return await server.start(host, port)
    except OSError as error:
        at_host = isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
        raise DoorError(door, port, reason_of(error), at_host=at_host) from None


def reason_of(error: OSError) -> str:
    """Why nobody can listen there, in the system's words."""
    # Python puts a sentence of its own around them.
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


def _goodbye(connection: ServerConnection, reply: Reply) -> Flow:
    yield Send(connection.send(reply), "banner")
