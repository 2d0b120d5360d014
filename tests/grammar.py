"""Hypothesis strategies for what is well-formed: addresses, commands, replies, messages."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

from ehlo.smtp.address import NULL_PATH, Mailbox, Path
from ehlo.smtp.command import Command, auth
from ehlo.smtp.parameters import Parameters
from ehlo.smtp.reply import Reply

_atoms = st.text("abcXYZ019!#$%&'*+-/=?^_`{|}~äöü漢", min_size=1, max_size=6)
_dot_strings = st.lists(_atoms, min_size=1, max_size=3).map(".".join)
_quoted = st.text('ab @<>,:;.\\"漢', max_size=10).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)
_labels = st.from_regex(r"[a-z0-9ä]([a-z0-9ä-]{0,5}[a-z0-9ä])?", fullmatch=True)
_names = st.lists(_labels, min_size=1, max_size=4).map(".".join)
_literals = st.one_of(
    st.ip_addresses(v=4).map(lambda address: f"[{address}]"),
    st.ip_addresses(v=6).map(lambda address: f"[IPv6:{address}]"),
)

mailboxes: st.SearchStrategy[Mailbox] = st.builds(Mailbox, _dot_strings | _quoted, _names | _literals)
paths: st.SearchStrategy[Path] = st.one_of(
    st.just(NULL_PATH),
    st.just(Path(Mailbox("Postmaster", None))),
    st.builds(Path, mailboxes, st.lists(_names, max_size=2).map(tuple)),
)

_keywords = st.from_regex(r"[A-Z0-9][A-Z0-9\-]{0,9}", fullmatch=True)
_values = st.text(
    st.characters(min_codepoint=0x21, exclude_characters="=\x7f", exclude_categories=["Cs"]), min_size=1, max_size=12
)
parameters: st.SearchStrategy[Parameters] = st.dictionaries(_keywords, st.none() | _values, max_size=4)

_words = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
_other_verbs = st.from_regex(r"(?!MAIL|RCPT|DATA|QUIT|RSET|STARTTLS)[A-Z][A-Z0-9]{0,9}", fullmatch=True)
commands: st.SearchStrategy[Command] = st.one_of(
    st.sampled_from([Command("DATA"), Command("QUIT"), Command("RSET"), Command("STARTTLS")]),
    st.tuples(_other_verbs, st.lists(_words, min_size=1, max_size=3)).map(
        lambda drawn: Command(drawn[0], " ".join(drawn[1]))
    ),
    st.tuples(paths, parameters).map(lambda drawn: Command("MAIL", "", *drawn)),
    st.tuples(paths.filter(lambda path: path != NULL_PATH), parameters).map(lambda drawn: Command("RCPT", "", *drawn)),
    st.tuples(st.sampled_from(["PLAIN", "X-OWN"]), st.none() | st.binary(max_size=50)).map(lambda drawn: auth(*drawn)),
)

_reply_codes = st.builds(
    lambda *digits: int("".join(map(str, digits))), st.integers(2, 5), st.integers(0, 5), st.integers(0, 9)
)
#: Also octets that are not UTF-8: they are surrogates in a reply's text.
_reply_texts = st.text(
    st.characters(exclude_categories=["Cc", "Cs"]) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)
).filter(lambda text: text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape") == text)
replies: st.SearchStrategy[Reply] = st.tuples(_reply_codes, st.lists(_reply_texts, min_size=1, max_size=4)).map(
    lambda drawn: Reply(drawn[0], tuple(drawn[1]))
)

#: Messages made of what matters at their lines' ends and beginnings.
contents: st.SearchStrategy[bytes] = st.lists(
    st.sampled_from([b"\r\n", b".", b"\r", b"\n", b"a", b"text\r\n", b"\r\n.\r\n", b"..\r\n", b"\0\xff"])
).map(b"".join)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in the pieces that these places cut it into."""
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if start < end]


#: Where to cut; `cut` takes any numbers.
places: st.SearchStrategy[list[int]] = st.lists(st.integers(0, 10_000), max_size=20)
