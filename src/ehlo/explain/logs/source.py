"""From a stream to lines: unpacks, reads in large blocks, and passes over what is of no interest.

    stream ──> unpacked chunks ──> blocks of whole lines ──> the lines that have a needle, with their numbers

Nothing is decoded here, and lines of no interest are never even cut out of their block: the block as a whole is
searched for each needle. Memory is bounded: a line without end is cut at `MAX_LINE`.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO, Literal, NamedTuple, Protocol

#: Bounds memory where a line never ends; the longest that mail servers write have some thousand octets.
MAX_LINE = 16_384
BLOCK = 1 << 19
#: So much of what came before a block is kept.
TAIL = 32_768
#: A smaller block is not worth asking whose it could be.
_SMALL = 1 << 16

#: What a packed log lacks: "all" where nothing of it could be unpacked, "rest" where what follows could not.
Damage = Literal["all", "rest"]


class Hit(NamedTuple):
    """A line with a needle: its number from 1, its bytes without the end, and whose needles it has.

    It lies at `start` in `block`, before which came `tail`, for those who have to look at lines before it.
    """

    number: int
    line: bytes
    products: frozenset[str]
    block: bytes
    start: int
    tail: bytes

    def before(self, size: int) -> bytes:
        """Up to so many octets that came before the line; no more than `TAIL` are sure."""
        if self.start >= size:
            return self.block[self.start - size : self.start]
        return (self.tail + self.block[: self.start])[-size:]


def hits(
    stream: BinaryIO | Iterable[bytes],
    needles: Mapping[str, Iterable[bytes]],
    gates: Mapping[str, Iterable[bytes]],
    on_damage: Callable[[Damage], None] | None = None,
) -> Iterator[Hit]:
    """The lines that have a needle of some product, which is looked for only in blocks that have one of its gates.

    What a packed stream lacks is told to `on_damage`.
    """
    number = 1
    tail = b""
    for block in _blocks(_unpacked(_chunks(stream), on_damage or _ignore)):
        starts: dict[int, frozenset[str]] = {}
        for product, its in needles.items():
            if len(block) < _SMALL or product not in gates or any(gate in block for gate in gates[product]):
                mine = frozenset((product,))
                for needle in its:
                    _search(block, needle, mine, starts)
        counted = 0
        for start in sorted(starts):
            number += block.count(b"\n", counted, start)
            counted = start
            end = block.find(b"\n", start)
            line = block[start : min(end if end >= 0 else len(block), start + MAX_LINE)]
            yield Hit(number, line.rstrip(b"\r"), starts[start], block, start, tail)
        number += block.count(b"\n", counted)
        tail = block[-TAIL:] if len(block) >= TAIL else (tail + block)[-TAIL:]


def _search(block: bytes, needle: bytes, product: frozenset[str], starts: dict[int, frozenset[str]]) -> None:
    """Enter the starts of all lines that have the needle."""
    find = block.find
    at = find(needle)
    while at >= 0:
        start = block.rfind(b"\n", 0, at) + 1
        known = starts.get(start)
        starts[start] = product if known is None or known is product else known | product
        end = find(b"\n", at)
        if end < 0:
            return
        at = find(needle, end)


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks of whole lines."""
    rest = b""
    skipping = False
    for chunk in chunks:
        if skipping:
            # The remainder of a line that was cut.
            end = chunk.find(b"\n")
            if end < 0:
                continue
            chunk = chunk[end:]
            skipping = False
        end = chunk.rfind(b"\n") + 1
        if end:
            yield rest + chunk[:end]
            rest = chunk[end:]
        else:
            rest += chunk
        if len(rest) > MAX_LINE:
            rest = rest[:MAX_LINE]
            skipping = True
    if rest:
        yield rest


def _chunks(stream: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    """What a stream or a sequence of lines has, in large pieces."""
    read: Callable[[int], bytes] | None = getattr(stream, "read1", None) or getattr(stream, "read", None)
    if read is not None:
        while chunk := read(BLOCK):
            yield chunk
        return
    lines: list[bytes] = []
    size = 0
    for line in stream:
        lines.append(line[:-1] if line.endswith(b"\n") else line)
        size += len(line) + 1
        if size >= BLOCK:
            yield b"\n".join(lines) + b"\n"
            lines, size = [], 0
    if lines:
        yield b"\n".join(lines) + b"\n"


def _ignore(damage: Damage) -> None:
    """What is damaged ends where the damage begins."""


def _unpacked(chunks: Iterator[bytes], on_damage: Callable[[Damage], None]) -> Iterator[bytes]:
    """The chunks, unpacked if they begin as gzip, bzip2 or xz. What is damaged ends where the damage begins."""
    first = b""
    while len(first) < 6 and (chunk := next(chunks, b"")):
        first += chunk
    if not first:
        return
    packed = _both(first, chunks)
    if first.startswith(b"\x1f\x8b"):
        yield from _decompressed(packed, _Gunzip, on_damage)
    elif first.startswith(b"BZh"):
        yield from _decompressed(packed, bz2.BZ2Decompressor, on_damage)
    elif first.startswith(b"\xfd7zXZ\x00"):
        yield from _decompressed(packed, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY), on_damage)
    else:
        yield from packed


#: More than `xz -9` needs (65 MiB), less than a hostile file could ask for (4 GiB).
_XZ_MEMORY = 256 << 20


class _Unpacker(Protocol):
    """What bz2 and lzma call a decompressor."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gunzip:
    """zlib as a decompressor of that kind."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _decompressed(
    packed: Iterator[bytes], new: Callable[[], _Unpacker], on_damage: Callable[[Damage], None]
) -> Iterator[bytes]:
    unpacker = new()
    nothing = True
    try:
        for chunk in packed:
            while chunk or not (unpacker.eof or unpacker.needs_input):
                if unpacker.eof:
                    # Another one behind it, or what fills up a tape's block.
                    chunk = chunk.lstrip(b"\0")
                    if not chunk:
                        break
                    unpacker = new()
                if data := unpacker.decompress(chunk, BLOCK):
                    nothing = False
                    yield data
                chunk = unpacker.unused_data if unpacker.eof else b""
    except (OSError, ValueError, EOFError, lzma.LZMAError, zlib.error, MemoryError):
        on_damage("all" if nothing else "rest")
        return
    if not unpacker.eof:
        on_damage("all" if nothing else "rest")


def _both(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
