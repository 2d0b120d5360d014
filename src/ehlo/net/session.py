"""A running session without a network: it turns a flow's intents and a peer's bytes into each other.

    driver            Session                        flow
    bytes    ──────>  TLS ─> connection ─> event ──> (generator)
    bytes    <──────  TLS <─ record     <─ intent <─ (generator)

A driver calls `start`, then gives what happened (`data_received`, `eof_received`, `resume`, `fail`,
`timed_out`), and each of these tells what the session needs next. Bytes to send are in
`take_outgoing`. The session records everything; it is the only writer of its transcript.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Protocol

from ehlo.net.errors import NETWORK_ERRORS, SessionError
from ehlo.net.intents import (
    DONE,
    FLUSH,
    READ,
    Connect,
    Cut,
    Done,
    FindMailHosts,
    Flow,
    Intent,
    Listen,
    Need,
    Pause,
    Preamble,
    Receive,
    Resolve,
    Send,
    StartTLS,
    Upload,
)
from ehlo.smtp.command import COMMAND_LINE_LIMIT
from ehlo.smtp.deviations import LocalProtocolError, RemoteProtocolError
from ehlo.smtp.events import (
    ChunkReceived,
    ClientEvent,
    CommandReceived,
    ConnectionLost,
    ContentBegun,
    ContentReceived,
    NeedData,
    ReplyPart,
    ReplyReceived,
    ServerEvent,
)
from ehlo.smtp.lines import ReceiveBuffer
from ehlo.smtp.stages import Stage
from ehlo.transcript.event import NO_FACTS, Event, Facts, Kind, Who
from ehlo.transcript.transcript import Recorder

if TYPE_CHECKING:
    # `ssl` costs a quarter of a short session's start-up; it is imported when TLS begins.
    from ehlo.net.tls import TLSLayer

_new = tuple.__new__

#: Octets that may wait to be sent before a flow that uploads has to wait.
HIGH_WATER = 262_144

ConnectionEvent = ClientEvent | ServerEvent


class Connection(Protocol):
    """What `ClientConnection` and `ServerConnection` have in common."""

    stage: Stage
    incoming: ReceiveBuffer

    def receive_data(self, data: bytes) -> None: ...  # noqa: D102
    def receive_eof(self) -> None: ...  # noqa: D102
    def next_event(self) -> ConnectionEvent: ...  # noqa: D102


class Session:
    """One session in the hands of a driver. `us` is the side whose flow this is.

    `recorder` has its transcript, `deadline` until when to wait for what it needs, on the recorder's clock; `outgoing`
    is what there is to send, which `take_outgoing` takes.
    `wake` is the driver's: called with what the session needs after an instruction that came unexpected.
    """

    __slots__ = (
        "_arrived",
        "_asked",
        "_asked_at",
        "_first",
        "_flow",
        "_instructions",
        "_latest",
        "_left",
        "_lost",
        "_lost_by",
        "_need",
        "_outgoing_size",
        "_partial",
        "_peer",
        "_preamble",
        "_tls",
        "_us",
        "connected",
        "connection",
        "deadline",
        "outgoing",
        "recorder",
        "wake",
    )

    def __init__(self, connection: Connection, recorder: Recorder, flow: Flow, us: Who) -> None:
        self.connection = connection
        self.recorder = recorder
        self.connected = us == "server"
        self._flow = flow
        self._us: Who = us
        self._peer: Who = "server" if us == "client" else "client"
        self.outgoing: list[bytes] = []
        self._outgoing_size = 0
        self._tls: TLSLayer | None = None
        self.deadline = 0.0
        self._need: Need = DONE
        self._asked: Intent | None = None
        self._asked_at = 0.0
        self._arrived = 0.0
        self._latest = 0.0
        self._first = 0.0
        self._left: float | None = None
        self._partial = False
        self._preamble = b""
        self._lost: str = ""
        self._lost_by: str = ""
        self._instructions: deque[object] | None = None
        self.wake: Callable[[Need], None] | None = None

    # What a driver calls.

    def start(self) -> Need:
        """Begin the flow."""
        return self._advance(None)

    def resume(self, result: object = None) -> Need:
        """What the session needed has been done, with this result."""
        asked = self._asked
        self._latest = self.recorder.now()
        if type(asked) is Connect:
            self.connected = True
            self._lost = self._lost_by = ""
            self._record_connect(asked, {"local": str(result)})
        return self._advance(result)

    def fail(self, error: str, message: str) -> Need:
        """What the session needed could not be done. `error` is an id of `NETWORK_ERRORS`."""
        asked = self._asked
        stage: Stage = "connect" if type(asked) is Connect else "dns"
        if type(asked) is Connect:
            self._record_connect(asked, {"error": error, "message": message})
        elif isinstance(asked, FindMailHosts | Resolve):
            question = asked.domain if isinstance(asked, FindMailHosts) else asked.host
            facts: Facts = {"name": question, "error": error, "message": message}
            self.recorder.add("net", "dns", stage, first=self._asked_at, facts=facts)
        return self._throw(SessionError(error, stage, message))

    def data_received(self, data: bytes) -> Need:
        """Bytes came from the peer."""
        self._arrived = self._latest = self.recorder.now()
        if self._tls is not None:
            data = self._decrypted(self._tls, data)
            if not data:
                return self._need
        asked = self._asked
        if type(asked) is Receive:
            timeout, recall = asked
            if recall is not None:
                incoming = self.connection.incoming
                if incoming.empty and not incoming.skipping and (said := recall(data)) is not None:
                    self._answer_again(data, said)
                    self.deadline = self._latest + timeout
                    return READ
        elif type(asked) is Preamble:
            return self._preamble_received(asked, data)
        if not self._partial:
            self._first = self._arrived
        self.connection.receive_data(data)
        return self._pump()

    def eof_received(self) -> Need:
        """The peer closed its side in order."""
        return self._connection_lost("closed")

    def connection_failed(self, error: str, message: str = "") -> Need:
        """The connection broke. `error` is an id of `NETWORK_ERRORS`, `message` says the particulars, if any."""
        return self._connection_lost(error, message)

    def timed_out(self, unacknowledged: int = 0) -> Need:
        """The deadline of a `Read` or `Flush` passed. So many octets of what was sent have not arrived by then."""
        if type(self._asked) is StartTLS:
            return self._tls_failed("tls-timed-out", NETWORK_ERRORS["tls-timed-out"])
        if begun := self.connection.incoming.take_all():
            # A line that was never ended says what the peer is, if not what it wanted to say.
            self._record("line", self.connection.stage, begun)
        if not unacknowledged:
            return self._throw(self._error("timed-out", NETWORK_ERRORS["timed-out"]))
        message = f"{NETWORK_ERRORS['timed-out']}, and {unacknowledged:,} octets of what was sent have not arrived"
        return self._throw(self._error("timed-out", message, {"unacknowledged": unacknowledged}))

    def take_outgoing(self) -> bytes:
        """The bytes to send now."""
        data = b"".join(self.outgoing)
        self.outgoing.clear()
        self._outgoing_size = 0
        return data

    @property
    def need(self) -> Need:
        """What the session needs now."""
        return self._need

    @property
    def listening(self) -> bool:
        """Whether the flow waits for an instruction."""
        return type(self._asked) is Listen

    def instruct(self, instruction: object) -> Need:
        """Give a flow that listens something to do; one that is busy gets it when it listens again."""
        if type(self._asked) is not Listen:
            if self._instructions is None:
                self._instructions = deque()
            self._instructions.append(instruction)
            return self._need
        self._latest = self.recorder.now()
        need = self._advance(instruction)
        if self.wake is not None:
            self.wake(need)
        return need

    def take_instructions(self) -> list[object]:
        """The instructions that wait, for a flow that will not carry them out."""
        waiting, self._instructions = list(self._instructions or ()), None
        return waiting

    def abandon(self, note: str, farewell: bytes = b"") -> None:
        """The driver was told to stop at once: record why, and close. A server can say a last line."""
        if type(self._need) is not Done:
            stage = self._current_stage()
            if farewell and self.connected and type(self._asked) is Receive:
                self._write(farewell)
                self.recorder.add_lines(self._us, stage, farewell)
            self.recorder.add("net", "error", stage, facts={"error": "interrupted", "message": note})
            self._flow.close()
            # What comes until the connection is closed finds nobody, and comes after the end of the record.
            self._asked = None
            self._finish()

    def crashed(self, note: str, farewell: bytes = b"") -> Need:
        """A mistake in the program has broken the flow off: record it, and close. What was to be sent still is, and a
        server can say a last line."""
        stage, speaks = self._current_stage(), self.connected and not self._lost and type(self._asked) is not StartTLS
        try:
            self.recorder.add("net", "error", stage, facts={"error": "crashed", "message": note})
        except Exception:
            # Who listens to the record made the mistake.
            self.recorder.listen(None)
        if farewell and speaks:
            self._write(farewell)
            self.recorder.add_lines(self._us, stage, farewell)
        with contextlib.suppress(Exception):
            self._flow.close()
        return self._finish()

    # The flow.

    def _throw(self, error: SessionError) -> Need:
        return self._advance(None, error)

    def _advance(self, value: object, error: SessionError | None = None) -> Need:
        """Give the flow what it asked for, or the error instead, and do what it asks for then, until it has to wait."""
        flow, recorder = self._flow, self.recorder
        self._asked = None
        try:
            intent = flow.send(value) if error is None else flow.throw(error)
            while True:
                value = None
                if type(intent) is Send:
                    if self._lost:
                        intent = flow.throw(self._drain())
                        continue
                    data, stage = intent
                    if self._tls is None:
                        self.outgoing.append(data)
                    else:
                        self._write(data)
                    if recorder.recording:
                        self._latest = recorder.add_lines(self._us, stage, data)
                elif type(intent) is Receive:
                    if self.connection.incoming.empty and not self._lost:
                        self._partial = False
                        event = None
                    else:
                        event = self._next_event()
                    if event is None:
                        self.deadline = self._latest + intent.timeout
                        self._asked, self._need = intent, READ
                        return READ
                    if type(event) is SessionError:
                        intent = flow.throw(event)
                        continue
                    value = event
                elif type(intent) is Upload:
                    if self._lost:
                        intent = flow.throw(self._drain())
                        continue
                    self._write(intent.data)
                    if self._outgoing_size > HIGH_WATER:
                        return self._wait_until(intent, intent.timeout, FLUSH)
                elif type(intent) is Listen:
                    event = self._next_event()
                    if event is None and self._instructions:
                        value = self._instructions.popleft()
                    elif event is None:
                        self.deadline = inf
                        return self._wait(intent, READ)
                    elif type(event) is SessionError:
                        intent = flow.throw(event)
                        continue
                    else:
                        value = event
                elif type(intent) is Preamble:
                    self._preamble = b""
                    return self._wait_until(intent, intent.timeout, READ)
                elif type(intent) is Cut:
                    self._lost = "dropped"
                    return self._finish(reset=True)
                elif type(intent) is StartTLS:
                    return self._start_tls(intent)
                else:
                    self._asked_at = recorder.now()
                    return self._wait(intent, intent)  # type: ignore[arg-type]
                intent = flow.send(value)
        except (StopIteration, SessionError):
            return self._finish()
        except LocalProtocolError as unsaid:
            return self._give_up(unsaid)

    def _give_up(self, error: LocalProtocolError) -> Need:
        """The flow wanted to say what the protocol does not allow; it was not sent."""
        if self._us == "server":
            # Nobody from outside has told it what to say: that is a mistake in the program.
            raise error
        self._error("not-sent", error.detail)
        return self._finish()

    def _wait(self, asked: Intent, need: Need) -> Need:
        self._asked, self._need = asked, need
        return need

    def _wait_until(self, asked: Intent, timeout: float, need: Need) -> Need:
        self.deadline = self.recorder.now() + timeout
        return self._wait(asked, need)

    def _finish(self, *, reset: bool = False) -> Need:
        if reset:
            self._flow.close()
        if self.connected:
            self.connected = False
            if self._tls is not None and not reset:
                self._tls.close()
                self._collect_tls()
            by = self._peer if self._lost and not reset else self._us
            facts: Facts = {"reset": True} if reset else NO_FACTS
            self.recorder.add(by, "close", self.connection.stage, first=self._left, facts=facts)
        self._need = Done(reset=True) if reset else DONE
        return self._need

    def _answer_again(self, line: bytes, said: Send) -> None:
        """Say what was said to this line before."""
        data, stage = said
        if self._tls is None:
            self.outgoing.append(data)
        else:
            self._write(data)
        recorder = self.recorder
        if recorder.recording:
            recorder.put(_new(Event, (self._arrived, self._peer, "line", stage, line, None, NO_FACTS)))
            self._latest = recorder.add_lines(self._us, stage, data)

    # The peer.

    def _preamble_received(self, asked: Preamble, data: bytes) -> Need:
        from ehlo.net.proxy import ProxyError

        self._preamble += data
        try:
            found = asked.split(self._preamble)
        except ProxyError as error:
            facts: Facts = {"error": "proxy-header-wrong", "message": str(error)}
            self.recorder.add("net", "error", "connect", facts=facts)
            return self._throw(SessionError("proxy-header-wrong", "connect", str(error)))
        if found is None:
            return self._wait(asked, READ)
        header, rest = found
        self._preamble = b""
        if rest:
            self.connection.receive_data(rest)
        return self._advance(header)

    def _pump(self) -> Need:
        """Bytes are there: give the flow its event if it waits for one and there is one."""
        asked = type(self._asked)
        if asked is not Receive and asked is not Listen:
            return self._need
        event = self._next_event()
        if event is None:
            return self._need
        return self._throw(event) if type(event) is SessionError else self._advance(event)

    def _next_event(self) -> ConnectionEvent | SessionError | None:
        """The connection's next event, recorded; None when bytes are missing; a `SessionError` when
        there will be none."""
        connection = self.connection
        while True:
            try:
                event = connection.next_event()
            except RemoteProtocolError as error:
                self._record("line", connection.stage, error.line)
                return self._error(error.deviation.value, error.detail)
            kind = type(event)
            if kind is CommandReceived or kind is ReplyReceived:
                # First, since it is nearly all there is.
                if self.recorder.recording:
                    self._record("line", event.stage, event.line)  # type: ignore[union-attr]
                return event
            if kind is NeedData:
                self._partial = event.partial  # type: ignore[union-attr]
                return None
            if kind is ContentReceived or kind is ChunkReceived:
                self._record_message(event)  # type: ignore[arg-type]
                return event
            if kind is ContentBegun:
                return event
            if kind is ConnectionLost:
                return self._record_lost(event)  # type: ignore[arg-type]
            self._record("line", event.stage, event.line)  # type: ignore[union-attr]
            if kind is not ReplyPart:
                return event

    def _record(self, kind: Kind, stage: Stage, data: bytes, facts: Facts = NO_FACTS) -> None:
        """Record what the peer said."""
        recorder = self.recorder
        if not recorder.recording:
            return
        # What waited in the buffer while this side spoke is recorded when it is looked at: time goes on.
        arrived, first = self._arrived, self._first
        if arrived < self._latest:
            arrived = self._latest
        self._first = arrived
        began = first if first < arrived else None
        if len(data) > COMMAND_LINE_LIMIT:
            recorder.octets += len(data)
        recorder.put(_new(Event, (arrived, self._peer, kind, stage, data, began, facts)))

    def _record_message(self, event: ContentReceived | ChunkReceived) -> None:
        facts: Facts = NO_FACTS
        if type(event) is ChunkReceived:
            facts = {"chunk": True}
            if event.line:
                self._record("line", event.stage, event.line)
        if event.truncated:
            facts = {**facts, "truncated": True, "received": event.size}
        self._record("data", "message", event.content, facts)

    def _record_lost(self, event: ConnectionLost) -> SessionError:
        if event.content:
            self.recorder.octets += len(event.content)
            facts: Facts = {"partial": True}
            self.recorder.add(self._peer, "data", event.stage, event.content, facts=facts)
        if event.line:
            self._record("line", event.stage, event.line)
        return self._error(self._lost or "closed", self._lost_by or NETWORK_ERRORS["closed"])

    def _error(self, error: str, message: str, more: Facts = NO_FACTS) -> SessionError:
        stage = self.connection.stage
        self.recorder.add("net", "error", stage, facts={"error": error, "message": message, **more})
        return SessionError(error, stage, message)

    def _connection_lost(self, error: str, message: str = "") -> Need:
        if self._lost or not self.connected:
            return self._need
        self._lost, self._lost_by = error, message or NETWORK_ERRORS[error]
        self._arrived = self.recorder.now()
        if type(self._asked) is Pause:
            # The flow goes on, since who has said all may still listen; but this is when the peer went.
            self._left = self._arrived
        if type(self._asked) is StartTLS:
            return self._tls_failed("tls-cut", NETWORK_ERRORS["tls-cut"])
        if type(self._asked) is Preamble:
            return self._throw(self._error(error, self._lost_by))
        self.connection.receive_eof()
        return self._throw(self._drain()) if type(self._asked) is Upload else self._pump()

    def _drain(self) -> SessionError:
        """The connection is gone while the flow was sending: what the peer said before that, often the
        reason, is recorded; then the error that the flow gets."""
        while self._us == "client":
            event = self._next_event()
            if isinstance(event, SessionError):
                return event
        return self._error(self._lost, self._lost_by)

    def _record_connect(self, asked: Connect, facts: Facts) -> None:
        facts = {"address": asked.address.host, "port": asked.address.port, **facts}
        self.recorder.add("net", "connect", "connect", first=self._asked_at, facts=facts)

    def _current_stage(self) -> Stage:
        if type(self._asked) is StartTLS:
            return self._asked.stage
        if self.connected:
            return self.connection.stage
        return "connect" if type(self._asked) is Connect else "dns"

    # TLS.

    def _write(self, data: bytes) -> None:
        if self._tls is not None:
            self._tls.write(data)
            data = self._tls.take_outgoing()
        self.outgoing.append(data)
        self._outgoing_size += len(data)

    def _collect_tls(self) -> None:
        if self._tls is not None and (data := self._tls.take_outgoing()):
            self.outgoing.append(data)

    def _start_tls(self, asked: StartTLS) -> Need:
        from ehlo.net.tls import TLSLayer

        self._tls = TLSLayer(asked.context, asked.sni)
        self._asked_at = self.recorder.now()
        self._wait_until(asked, asked.timeout, READ)
        return self._go_on_with_handshake()

    def _go_on_with_handshake(self) -> Need:
        tls, asked = self._tls, self._asked
        if tls is None or type(asked) is not StartTLS:
            return self._need
        try:
            complete = tls.handshake()
        except OSError as error:
            self._collect_tls()
            return self._tls_failed("tls-failed", tls.failure(error))
        self._collect_tls()
        if not complete:
            return self._need
        self._asked = None
        facts = tls.facts(asked.name, asked.trust)
        self.recorder.add("net", "tls", asked.stage, first=self._asked_at, facts=facts.to_json())
        return self._advance(facts)

    def _tls_failed(self, error: str, message: str) -> Need:
        stage: Stage = self._asked.stage if type(self._asked) is StartTLS else "tls"
        self._asked = self._tls = None
        facts: Facts = {"error": error, "message": message}
        self.recorder.add("net", "tls", stage, first=self._asked_at, facts=facts)
        return self._throw(SessionError(error, stage, message))

    def _decrypted(self, tls: TLSLayer, data: bytes) -> bytes:
        """What can be read now. A handshake goes on, or the layer fails, and the flow with it: then nothing."""
        tls.feed(data)
        if type(self._asked) is StartTLS:
            self._go_on_with_handshake()
        if type(self._asked) is StartTLS or self._tls is None:
            return b""
        try:
            plain = tls.read()
        except OSError as error:
            self._lost, self._lost_by, self._tls = "reset", NETWORK_ERRORS["reset"], None
            self._throw(self._error("tls-failed", tls.failure(error)))
            return b""
        self._collect_tls()
        return plain
