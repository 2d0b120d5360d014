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
    """Bytes received and not yet understood. `empty` says that there are none, `skipping` that what comes is dropped up
    to the end of a line that was too long."""

    __slots__ = ("_data", "_start", "empty", "skipping")

    def __init__(self) -> None:
        self._data = b""
        self._start = 0
        self.skipping = False
        self.empty = True

    def __len__(self) -> int:
        return len(self._data) - self._start

    def feed(self, data: bytes) -> None:
        """Append what arrived."""
        if self.empty:
            self._data = data
            self.empty = not data
        else:
            self._data = self._data[self._start :] + data
        self._start = 0

    def take_line(self, limit: int) -> bytes | None:
        """The next line with its ending, or None while it is incomplete.

        Raises `LineTooLongError` once when the limit is passed; the rest of that line is then
        dropped as it comes, and reading goes on behind its end.
        """
        if self.empty:
            return None
        data, start = self._data, self._start
        end = data.find(b"\n", start) + 1
        if end == len(data) <= limit and not (start or self.skipping):
            # One whole line and nothing else is what nearly always comes.
            self._start, self.empty = end, True
            return data
        if self.skipping:
            if not end:
                self.clear()
                return None
            self.skipping = False
            self._start = end
            self.empty = end == len(data)
            return self.take_line(limit)
        if end and end - start <= limit:
            self._start = end
            if end < len(data):
                return data[start:end]
            self.empty = True
            return data[start:]
        if len(data) - start <= limit:
            return None
        self.skipping = True
        self._start = start + limit
        raise LineTooLongError(data[start : start + limit])

    def take_all(self) -> bytes:
        """Everything there is."""
        taken = self._data[self._start :] if self._start else self._data
        self._data, self._start, self.empty = b"", 0, True
        return taken

    def clear(self) -> None:
        """Forget everything."""
        self._data = b""
        self._start = 0
        self.empty = True
