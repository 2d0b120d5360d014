"""What `ehlo explain` reads: a text, a file or standard input, as a stream of octets in UTF-8 or near it."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from ehlo.cli.commands import UsageError

#: A stream is read in pieces of this size.
_PIECE = 1 << 20
#: What files are called that are explained: logs, mails and mailboxes, captured packets, transcripts.
_SUFFIXES = frozenset((".log", ".txt", ".eml", ".msg", ".mbox", ".pcap", ".pcapng", ".jsonl", ".gz"))


def open_file(path: Path) -> BinaryIO:
    """A file to read from; raises `UsageError`."""
    try:
        return path.open("rb")
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: object, error: OSError) -> UsageError:
    """The sentence for a file that cannot be read."""
    return UsageError(f"{path}: the file cannot be read: {error.strerror}.")


def source_of(words: list[str]) -> Path | BinaryIO:
    """A file if there is one of that name, else the words themselves; without words, standard input."""
    if not words or words == ["-"]:
        if sys.stdin is None or (not words and sys.stdin.isatty()):
            raise UsageError("there is nothing to explain: give a text, a file, or - for standard input.")
        return sys.stdin.buffer
    if not any(map(str.strip, words)):
        # Mostly a variable of a shell that was not set. As a path it would be the current folder.
        raise UsageError("there is nothing to explain: the text is empty.")
    if len(words) == 1 and len(words[0]) < 4096 and "\n" not in words[0]:
        path = Path(words[0])
        try:
            if path.exists():
                return path
        except (OSError, ValueError):
            pass
        if _names_a_file(words[0]):
            raise UsageError(f"{words[0]}: there is no such file.")
    return io.BytesIO(" ".join(words).encode("utf-8", "surrogateescape"))


def _names_a_file(word: str) -> bool:
    """Whether a word can only have been meant for a file: nothing that a mail program says looks like this."""
    if any(char.isspace() for char in word):
        return False
    suffix = Path(word).suffix.lower()
    return word.startswith(("/", "./", "../", "~/")) or ("/" in word and suffix != "") or suffix in _SUFFIXES


def size_of(source: Path | BinaryIO) -> int:
    """How many octets there are to read; 0 where nobody knows, as in a pipe."""
    try:
        if isinstance(source, Path):
            files = source.rglob("*") if source.is_dir() else [source]
            return sum(file.stat().st_size for file in files if file.is_file())
        return os.fstat(source.fileno()).st_size
    except OSError:
        return 0


class _Pieces(io.RawIOBase):
    """A stream of what comes in pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        data, self._rest = self._rest[: len(view)], self._rest[len(view) :]
        view[: len(data)] = data
        return len(data)


def chained(head: bytes, stream: BinaryIO) -> BinaryIO:
    """A stream with what has already been read of it."""
    return io.BufferedReader(_Pieces(chain([head], iter(lambda: stream.read(_PIECE), b""))), _PIECE)


def recoded(stream: BinaryIO, encoding: str) -> BinaryIO:
    """A stream of text as UTF-8."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")

    def pieces() -> Iterator[bytes]:
        while data := stream.read(_PIECE):
            yield decoder.decode(data).encode()
        yield decoder.decode(b"", final=True).encode()

    return io.BufferedReader(_Pieces(pieces()), _PIECE)
