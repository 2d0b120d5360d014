"""A session that is told step by step what to do, by a person (`ehlo shell`) or a program (`ehlo.connect`).

The flow connects and takes the greeting; from then on it carries out instructions as they come, and
listens in between: what the server says unasked is recorded the moment it comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Generic

from ehlo.net.errors import SessionError
from ehlo.net.intents import Flow, Listen, Send
from ehlo.net.session import Session
from ehlo.probe.plan import Plan
from ehlo.probe.talk import Asking, NotDone, Progress, T, Talk
from ehlo.smtp.client import ClientConnection
from ehlo.smtp.deviations import LocalProtocolError
from ehlo.smtp.reply import Reply
from ehlo.smtp.states import State
from ehlo.transcript.transcript import Listener, Recorder

#: What ends an instruction without a result.
Failure = SessionError | NotDone | LocalProtocolError


class Instruction(Generic[T]):
    """Something to do in a session. When it is done, `failure` is set, or else `result` holds what it gave.

    `on_done` is called then.
    """

    __slots__ = ("_results", "done", "failure", "on_done", "step")

    def __init__(self, step: Callable[[Talk], Asking[T]], on_done: Callable[[], None] | None = None) -> None:
        self.step = step
        self.on_done = on_done
        self.done = False
        self.failure: Failure | None = None
        self._results: list[T] = []

    @property
    def result(self) -> T:
        """What the step gave. Raises what ended it instead."""
        if self.failure is not None:
            raise self.failure
        return self._results[0]

    def carry_out(self, talk: Talk) -> Asking[None]:
        """Do it. A `SessionError` is noted and raised again, since the session ends with it."""
        try:
            self._results.append((yield from self.step(talk)))
        except (NotDone, LocalProtocolError) as error:
            self.failure = error
        except SessionError as error:
            self.failure = error
            raise
        except GeneratorExit:
            self.failure = SessionError("interrupted", talk.conn.stage, "the session was broken off")
            raise
        finally:
            self._finish()

    def fail(self, failure: Failure) -> None:
        """It will not be done."""
        self.failure = failure
        self._finish()

    def _finish(self) -> None:
        self.done = True
        if self.on_done is not None:
            self.on_done()


class Conversation:
    """A session and its flow. `greeting` is the server's, once it has come; `over` tells that the session has
    ended, and `failure` by what, if it was not in order."""

    def __init__(self, plan: Plan, listener: Listener | None = None, progress: Progress | None = None) -> None:
        connection = ClientConnection()
        self.recorder = Recorder("client", plan.target.given, listener=listener)
        self.talk = Talk(connection, self.recorder, plan, progress)
        self.greeting: Reply | None = None
        self.failure: SessionError | None = None
        self.over = False
        self.session = Session(connection, self.recorder, self._flow(), "client")

    def instruct(self, instruction: Instruction[T]) -> None:
        """Have something done, now or when the session listens again."""
        if self.over:
            instruction.fail(
                self.failure or SessionError("closed", self.session.connection.stage, "the session is over")
            )
        else:
            self.session.instruct(instruction)

    def _flow(self) -> Flow:
        try:
            yield from self._begin()
            # RFC 5321 §3.8: after QUIT or 421 the session is over, whoever closes first.
            while self.talk.conn.state is not State.CLOSED:
                heard: object = yield Listen()
                if isinstance(heard, Instruction):
                    yield from heard.carry_out(self.talk)
        except SessionError as error:
            self.failure = error
            raise
        except NotDone as error:
            self.failure = SessionError(error.error, error.stage, error.message)
        finally:
            self.over = True
            for waiting in self.session.take_instructions():
                if isinstance(waiting, Instruction):
                    self.instruct(waiting)

    def _begin(self) -> Asking[None]:
        talk = self.talk
        hosts = yield from talk.find_hosts()
        for number, host in enumerate(hosts, start=1):
            try:
                addresses = yield from talk.find_addresses(host)
                yield from talk.connect(host, addresses)
                break
            except SessionError:
                if number == len(hosts):
                    raise
        if talk.plan.target.tls_on_connect:
            yield from talk.handshake("tls")
        self.greeting = yield from talk.greeting()


def utter(talk: Talk, data: bytes) -> Asking[None]:
    """Send any octets without waiting for what they are answered."""
    for line in re.findall(rb"[^\n]*\n|[^\n]+", data):
        yield Send(talk.conn.send_octets(line), talk.conn.stage)
