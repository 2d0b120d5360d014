"""A server that is a command: its standard input and output are one end of a pair of sockets.

To a driver it is a socket like any other, which is why both of them use this.
"""

from __future__ import annotations

import contextlib
import shlex
import signal
import socket
import subprocess

#: Once its input has ended, a server has this long to go before it is told to, in seconds.
_FAREWELL = 5.0


class Pipe:
    """A running command and our end of its sockets."""

    def __init__(self, command: str) -> None:
        """Start the command. Raises `OSError` when that is not possible, `ValueError` when its quotes do
        not match."""
        words = shlex.split(command)
        self.socket, theirs = socket.socketpair()
        try:
            # What it writes to standard error is for whoever runs us.
            self._process = subprocess.Popen(words, stdin=theirs.fileno(), stdout=theirs.fileno())
        except BaseException:
            self.socket.close()
            raise
        finally:
            theirs.close()

    def last_words(self) -> str:
        """The command has closed its end, as it does when it is over: how it ended, as a sentence. Blocks."""
        try:
            status = self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            return "the command closed its standard output, and is still running"
        if status < 0:
            name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
            return f"the command was ended by the signal {name}"
        return f"the command ended with exit status {status}"

    def wait(self) -> None:
        """Our end is closed: see the command off."""
        try:
            self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_FAREWELL)
            self._process.kill()
            self._process.wait()
