"""How a fault has a reply said: late, in pieces, spoiled, not at all; and what becomes of the connection then."""

from __future__ import annotations

from ehlo.lab.deviate import MANGLES, mask_greeting
from ehlo.lab.faults import Action
from ehlo.net.errors import SessionError
from ehlo.net.intents import Cut, Flow, Pause, Send, Upload
from ehlo.smtp.server import ServerConnection
from ehlo.smtp.stages import Stage
from ehlo.smtp.states import State
from ehlo.transcript.transcript import Recorder

#: Long enough for a piece to leave in a packet of its own.
_BETWEEN_PIECES = 0.02
_PIECE_TIMEOUT = 60.0
#: How long silence lasts in a lab that waits for its clients without end.
_A_DAY = 86400.0
_NO_ACTION = Action()


class Speaker:
    """Says replies as actions want it. `idle` is how long it waits for a client that shall hear nothing, `held_back`
    what is to be said together with the next reply."""

    __slots__ = ("_conn", "_idle", "_interrupting", "_recorder", "held_back")

    def __init__(self, connection: ServerConnection, recorder: Recorder, idle: float) -> None:
        self._conn = connection
        self._recorder = recorder
        self._idle = idle or _A_DAY
        self.held_back = b""
        self._interrupting = _NO_ACTION

    def wait(self) -> Flow:
        """Say nothing, and do not hang up."""
        yield Pause(self._idle)

    def release(self) -> bytes:
        """What was kept back, once."""
        held, self.held_back = self.held_back, b""
        return held

    def say(self, data: bytes, stage: Stage, action: Action) -> Flow:
        """Say a reply. Raises `SessionError` where the action ends the session."""
        if action.delay:
            yield Pause(action.delay)
        if action.stall and action.stall_after < 0:
            yield Pause(action.stall, deaf=True)
        if self._conn.state is State.CONTENT:
            self.interrupt_with(action)
        data = _spoiled(data, action, stage)
        if action.hold:
            self.held_back += data
            return
        data = self.release() + data
        if data:
            yield from self._transmit(data, stage, action)
        if action.silent and not (action.close or action.reset) and self._conn.state is State.CLOSED:
            # After QUIT, silence is not the same as hanging up.
            yield from self.wait()
        if action.close_after >= 0:
            return
        if action.reset:
            yield Pause(0.0)
            yield Cut()
        if action.close:
            raise SessionError("dropped", stage, "dropped on purpose")

    def _transmit(self, data: bytes, stage: Stage, action: Action) -> Flow:
        sizes = list(action.pieces) or [1] * (len(data) if action.pause else 0)
        if not sizes:
            yield Send(data, stage)
            return
        began = self._recorder.now()
        start = 0
        while start < len(data):
            size = sizes.pop(0) if sizes else len(data)
            yield Upload(data[start : start + size], _PIECE_TIMEOUT)
            start += size
            yield Pause(action.pause or _BETWEEN_PIECES)
        for line in data.splitlines(keepends=True):
            self._recorder.add("server", "line", stage, line, first=began)

    def interrupt_with(self, action: Action) -> None:
        """Have the action act within the message that begins, if it is one that does."""
        if action.acts_after >= 0:
            self._conn.stop_after, self._interrupting = action.acts_after, action

    def interrupt(self) -> Flow:
        """As much of the message is here as an action waited for. Raises `SessionError` where that is the end."""
        action = self._interrupting
        if action.stall_after >= 0:
            yield Pause(action.stall, deaf=True)
            return
        if action.reset:
            yield Cut()
        raise SessionError("dropped", "message", "dropped on purpose")


def _spoiled(data: bytes, action: Action, stage: Stage) -> bytes:
    if action.raw is not None:
        return action.raw
    if action.silent:
        return b""
    if action.mangle:
        data = MANGLES[action.mangle](data)
    return mask_greeting(data) if action.mask and stage == "banner" else data
