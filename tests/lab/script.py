"""Plays a scenario's script over plain sockets. docs/scenarios.md describes the language."""

from __future__ import annotations

import re
import socket
import ssl
import time
from typing import BinaryIO

from ehlo.lab import RunningLab

TIMEOUT = 30.0


class Wire:
    """One connection to a lab."""

    def __init__(self, lab: RunningLab) -> None:
        self._lab = lab
        self._socket = socket.create_connection((lab.host, lab.port), timeout=TIMEOUT)
        self._stream: BinaryIO = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def line(self) -> str:
        data = self._stream.readline()
        if not data:
            raise AssertionError("the server closed the connection")
        return data.decode("utf-8", "replace")

    def is_silent(self, seconds: float) -> bool:
        """Nothing comes for so long."""
        assert not self._stream.peek(0) if isinstance(self._socket, ssl.SSLSocket) else True  # type: ignore[attr-defined]
        self._socket.settimeout(seconds)
        try:
            return not self._socket.recv(1, 0 if isinstance(self._socket, ssl.SSLSocket) else socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(TIMEOUT)
            self._stream = self._socket.makefile("rb")

    def end(self) -> str:
        """How the connection ends."""
        try:
            rest = self._stream.read()
        except ConnectionResetError:
            return "reset"
        return f"more came: {rest!r}" if rest else "closed"

    def start_tls(self) -> str:
        """The handshake; what was wrong, if something was."""
        try:
            self._socket = self._lab.ssl_context().wrap_socket(self._socket, server_hostname=self._lab.lab.persona.host)
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
        except (ssl.SSLError, ConnectionError) as error:
            return f"fails: {error}"
        self._stream = self._socket.makefile("rb")
        return ""

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


def play(script: str, lab: RunningLab) -> int:
    """Play the script; gives the number of steps. Raises `AssertionError` where the server does something else."""
    wires: list[Wire] = []
    steps = [line for line in script.splitlines() if line.strip()]
    try:
        for number, step in enumerate(steps):
            if number == 0:
                wires.append(Wire(lab))
                if step.split()[0] not in ("first", "silent"):
                    assert wires[-1].line().startswith("220 ")
            try:
                _play(step, lab, wires, steps[number + 1 :])
            except (AssertionError, OSError) as error:
                raise AssertionError(f"{step!r}: {error}") from error
    finally:
        for wire in wires:
            wire.close()
    return len(steps)


def _play(step: str, lab: RunningLab, wires: list[Wire], following: list[str]) -> None:
    word, _, rest = step.partition(" ")
    wire = wires[-1]
    if word == "C:":
        wire.send(rest.encode() + b"\r\n")
    elif word == "S:":
        if not getattr(wire, "either", False):
            _expect(rest, wire.line())
    elif word == "S~":
        _reply(wire, rest)
    elif word == "S*":
        assert any(_glob(rest, line) for line in _reply(wire, "")), "no line is like that"
    elif word == "S-":
        assert not any(_glob(rest, line) for line in _reply(wire, "")), "a line is like that"
    elif word == "raw":
        wire.send(rest.encode().decode("unicode_escape").encode())
    elif word == "raw-S":
        assert wire.line() == rest.encode().decode("unicode_escape")
    elif word == "fill":
        wire.send(b"x" * 98 + b"\r\n" if int(rest) < 100 else (b"x" * 98 + b"\r\n") * -(-int(rest) // 100))
    elif word == "silent":
        assert wire.is_silent(float(rest)), "something came"
    elif word == "wait":
        time.sleep(float(rest))
    elif word == "tls":
        problem = wire.start_tls()
        assert (rest.lower() in problem.lower()) if rest else not problem, problem or "the handshake succeeded"
    elif word in ("closed", "reset"):
        assert wire.end() == word
    elif word == "again":
        wire.close()
        wires[-1] = Wire(lab)
        if not (following and following[0].startswith("S:")):
            wires[-1].line()
    elif word == "also":
        wires.append(Wire(lab))
    elif word == "kept":
        assert len(lab.messages) == int(rest), f"{len(lab.messages)} messages"
    elif word == "either":
        count, _, command = rest.partition(" C: ")
        wanted = [line.removeprefix("S: ") for line in following]
        seen: set[str] = set()
        for _ in range(int(count)):
            wire.send(command.encode() + b"\r\n")
            line = wire.line()
            seen.update(pattern for pattern in wanted if _glob(pattern, line))
        assert seen == set(wanted), f"of {wanted} there was {seen}"
        wire.either = True  # type: ignore[attr-defined]
    else:
        assert word == "first", f"no such step: {word}"


def _reply(wire: Wire, start: str) -> list[str]:
    """A whole reply; or, when it never ends, all lines there are."""
    lines = []
    while True:
        lines.append(wire.line())
        assert lines[-1].startswith(start), lines[-1]
        if lines[-1][3:4] != "-" or (start.endswith("-") and lines[-1].startswith("250-DSN")):
            return lines


def _glob(pattern: str, line: str) -> bool:
    return (
        re.fullmatch(".*".join(map(re.escape, re.split(r"\*+", pattern))), line.rstrip("\r\n"), re.DOTALL) is not None
    )


def _expect(pattern: str, line: str) -> None:
    assert _glob(pattern, line), f"the server said {line!r}"
