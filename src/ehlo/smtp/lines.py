"""The receive buffer: bytes in any pieces go in, lines come out.

Law of this file: memory stays bounded whatever the peer sends. A line is everything up to and
including LF; that a proper line ends with CRLF (RFC 5321 §2.3.8) is judged by whoever reads it.
"""

from __future__ import annotations


class LineTooLongError(Exception):
    """No LF came within the limit. `start` holds the first bytes, up to the limit."""

    def __init__(self, start: bytes) -> None:
        super().__init__(f"no line ending within {len(start)} octets")
        self.start = start


class ReceiveBuffer:
    """Bytes received and not yet understood."""

    __slots__ = ("_data", "_skipping", "_start")

    def __init__(self) -> None:
        self._data = b""
        self._start = 0
        self._skipping = False

    def __len__(self) -> int:
        return len(self._data) - self._start

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be understood."""
        return self._start == len(self._data)

    def feed(self, data: bytes) -> None:
        """Append what arrived."""
        start = self._start
        if start == len(self._data):
            self._data = data
        else:
            self._data = self._data[start:] + data
        self._start = 0

    def take_line(self, limit: int) -> bytes | None:
        """The next line with its ending, or None while it is incomplete.

        Raises `LineTooLongError` once when the limit is passed; the rest of that line is then
        dropped as it comes, and reading goes on behind its end.
        """
        data, start = self._data, self._start
        if start == len(data):
            return None
        end = data.find(b"\n", start) + 1
        if self._skipping:
            if not end:
                self.clear()
                return None
            self._skipping = False
            self._start = end
            return self.take_line(limit)
        if end and end - start <= limit:
            self._start = end
            return data if end == len(data) and not start else data[start:end]
        if len(data) - start <= limit:
            return None
        self._skipping = True
        self._start = start + limit
        raise LineTooLongError(data[start : start + limit])

    def take_all(self) -> bytes:
        """Everything there is."""
        taken = self._data[self._start :]
        self.clear()
        return taken

    def clear(self) -> None:
        """Forget everything."""
        self._data = b""
        self._start = 0
