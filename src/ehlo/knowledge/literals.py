"""What a text must contain for a pattern to match it: the key under which a catalogue finds its patterns.

A reply is held against a thousand patterns. Most of them have a word in them without which they cannot match, so
patterns are filed by four characters of such a word, and a text by all groups of four characters in it; only where the
two meet a regular expression is run. `demands_of` reads the small part of the language of regular expressions that
rules are written in, and says less, never more, than a pattern demands.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence

#: The characters of a key. Shorter ones occur everywhere, longer ones are missing from more patterns.
SIZE = 4

#: One piece of a pattern: an escape, a class of characters, a count, or any other character.
_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{[0-9,]*\}|.", re.DOTALL)
_OPTIONAL = re.compile(r"[?*]|\{0?,|\{0\}")


#: What texts must have one of, each; all of these together.
Demands = list[frozenset[str]]


def demands_of(pattern: str) -> Demands:
    """Sets of literals: a text that the pattern matches has at least one literal of each set."""
    pieces = _PIECE.findall(pattern)
    branches = _branches(pieces)
    found = _demands(branches[0]) if len(branches) == 1 else [_alternatives(pieces)]
    return [demand for demand in found if _worth(demand)]


def grams(text: str) -> list[Sequence[int]]:
    """All groups of `SIZE` characters in a text, as numbers: four arrays of these are made faster than pieces are cut.

    The arrays overlap; what is in none of them is not in the text.
    """
    octets = text.encode("ascii", "replace")
    size = len(octets)
    return [array("I", octets[at : size - (size - at) % SIZE]) for at in range(min(SIZE, size))]


def _branches(pieces: list[str]) -> list[list[str]]:
    """The alternatives of a pattern, those within parentheses left as they are."""
    branches: list[list[str]] = [[]]
    depth = 0
    for piece in pieces:
        depth += (piece == "(") - (piece == ")")
        if piece == "|" and depth == 0:
            branches.append([])
        else:
            branches[-1].append(piece)
    return branches


def _demands(pieces: list[str]) -> Iterable[frozenset[str]]:
    """Each set has literals of which a text must have one, for one alternative of a pattern."""
    run = ""
    at = 0
    while at < len(pieces):
        piece, start = pieces[at], at
        if piece == "(":
            at = _closing(pieces, at)
        at += 1
        optional = at < len(pieces) and _OPTIONAL.match(pieces[at]) is not None
        literal = piece[-1] if piece[0] != "\\" or not piece[-1].isalnum() else ""
        if len(piece) > 2 or piece in ".^$()[]{}?*+" or optional:
            literal = ""
        if literal:
            run += literal
            if at < len(pieces) and pieces[at] == "+":
                # What comes after the repetition does not touch what came before it.
                yield frozenset({run})
                run = literal
            continue
        yield frozenset({run})
        run = ""
        if piece == "(" and not optional:
            yield _alternatives(pieces[start + 1 : at - 1])
    yield frozenset({run})


def _alternatives(pieces: list[str]) -> frozenset[str]:
    if pieces[:2] == ["?", ":"]:
        pieces = pieces[2:]
    elif pieces[:1] == ["?"]:
        # Looking ahead or back demands nothing of the place itself.
        return frozenset()
    needs = [_best(_demands(branch)) for branch in _branches(pieces)]
    # An alternative that demands nothing leaves nothing that is sure.
    return frozenset().union(*needs) if all(all(need) and need for need in needs) else frozenset()


def _best(demands: Iterable[frozenset[str]]) -> frozenset[str]:
    """The demand that the fewest texts meet by chance."""
    return max(demands, key=_worth, default=frozenset())


def _worth(demand: frozenset[str]) -> int:
    """A demand is worth as much as the shortest of its literals."""
    return min(map(len, demand), default=0)


def _closing(pieces: list[str], opening: int) -> int:
    depth = 0
    for at in range(opening, len(pieces)):
        depth += (pieces[at] == "(") - (pieces[at] == ")")
        if depth == 0:
            return at
    return len(pieces) - 1
