"""The reader of mail logs: every format, real lines, hostile bytes, and a summary that counts right."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import re
import socket
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehlo.explain.case import explain_case
from ehlo.explain.detect import kind_of
from ehlo.explain.logs import Damage, Entry, read_log, summarize
from ehlo.report.document import group_to_json
from explain.log_lines import ALL, CHATTER
from peers.world import MailServer

TODAY = date(2024, 11, 5)
SHARED = Path(__file__).parents[3] / "shared" / "logs"
#: How many lines tell of a failure in each file of real lines, and of which kind: code or error, stage.
REAL = {
    "exchange-smtp-bf__exchange-smtp-bf": {"535 auth": 9},
    "exchange-smtp-logs__exchange-smtp-logs": {"535 auth": 1},
    "exim-bf__exim-bf": {"535 auth": 5, "550 rcpt": 1},
    "exim-logs__exim-logs": {"535 auth": 6, "550 rcpt": 4, "451 banner": 1, "550 mail": 1},
    "exim-spam__exim-spam": {"550 rcpt": 3, "451 banner": 2, "550 mail": 3},
    "exim-syslog-logs__exim-logs": {"535 auth": 5, "550 rcpt": 4, "451 banner": 1, "550 mail": 1},
    "postfix-helo__postfix-spam": {"504 rcpt": 2},
    "postfix-honeypot-users__postfix-honeypot-users": {"535 auth": 9},
    "postfix-logs__postfix-logs": {"535 auth": 1, "554 rcpt": 1, "504 rcpt": 1, "454 rcpt": 2, "not-smtp ehlo": 2},
    "postfix-non-smtp__postfix-non-smtp": {"not-smtp ehlo": 1},
    "postfix-relay__postfix-spam": {"454 rcpt": 2},
    "postfix-sasl-bf__postfix-sasl-bf": {"535 auth": 3},
    "postfix-spam__postfix-spam": {"535 auth": 4, "554 rcpt": 2},
    "postscreen-logs__postscreen-logs": {"early-talker ehlo": 2},
}
SAMPLES = [(product, expected, line) for product, rows in ALL.items() for expected, line in rows]


def read(text: str | bytes) -> list[Entry]:
    data = text.encode() if isinstance(text, str) else text
    return list(read_log(io.BytesIO(data), today=TODAY))


def only(text: str | bytes) -> Entry:
    (entry,) = read(text)
    return entry


@pytest.mark.parametrize(("product", "expected", "line"), SAMPLES)
def test_line(product: str, expected: str, line: str) -> None:
    entry = only(line)
    case = entry.case
    rule = "*" if " * " in expected else explain_case(case).rule
    words = (entry.direction, case.error or str(case.code), case.status, case.stage, rule, case.recipient, entry.peer)
    assert " ".join(word or "-" for word in words) == expected
    assert entry.product == product
    assert entry.line == (1, line)


def test_there_are_lines_enough() -> None:
    assert len(SAMPLES) >= 60


@pytest.mark.parametrize("line", CHATTER)
def test_chatter_gives_nothing(line: str) -> None:
    assert read(line) == []


#: Lines that servers write several times of one failure.
_COUNTS_ONCE = re.compile("connect to mx|TLS library problem|retry time not")


def test_whole_log_has_what_its_lines_have() -> None:
    """Large blocks are searched in another way than single lines."""
    lines = [line for _, _, line in SAMPLES if not _COUNTS_ONCE.search(line)]
    text = "\n".join([*CHATTER, *lines] * 40)
    assert Counter(entry.line[1] for entry in read(text)) == Counter(lines * 40)
    for product, rows in ALL.items():
        mine = [line for _, line in rows if not _COUNTS_ONCE.search(line)] * 400
        assert Counter(entry.line[1] for entry in read("\n".join(mine))) == Counter(mine), product


def test_line_numbers() -> None:
    text = "\r\n".join([CHATTER[0], SAMPLES[0][2], CHATTER[1], CHATTER[1], SAMPLES[1][2]])
    assert [entry.line[0] for entry in read(text)] == [2, 5]
    far = "\n".join([*[CHATTER[0]] * 50_000, SAMPLES[0][2]])
    assert only(far).line[0] == 50_001


def test_lines_instead_of_a_file() -> None:
    lines = [SAMPLES[0][2].encode() + b"\n", CHATTER[0].encode(), SAMPLES[1][2].encode()]
    assert [entry.line[0] for entry in read_log(lines, today=TODAY)] == [1, 3]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_packed(pack: object) -> None:
    assert callable(pack)
    text = "\n".join([*[CHATTER[0]] * 20_000, SAMPLES[0][2]]).encode()
    packed = pack(text)
    assert only(packed).line[0] == 20_001
    # Two of them after each other, as logrotate's users make them.
    assert len(read(packed + pack(b"\n" + text))) == 2
    # Cut or damaged: what comes before is read, and that there is more is said.
    lines = [line.encode() for _, _, line in SAMPLES] * 60
    random.Random(7).shuffle(lines)
    packed = pack(b"\n".join(lines))
    for octets, damage in (
        (packed, []),
        (packed + b"\0" * 512, []),
        (packed + b"rubbish", ["rest"]),
        (packed[: -len(packed) // 10], ["rest"]),
        (packed[:8] + b"\xff" * 50, ["all"]),
    ):
        said: list[Damage] = []
        entries = list(read_log(io.BytesIO(octets), today=TODAY, on_damage=said.append))
        assert said == damage
        assert bool(entries) == (damage != ["all"])


class TestHead:
    MESSAGE = (
        "A1B2C3D4E5: to=<user@example.com>, relay=none, delay=1, dsn=4.4.1, status=deferred"
        " (connect to mx.example.com[192.0.2.1]:25: Connection timed out)"
    )
    AT = datetime(2024, 11, 4, 10, 0, 0)

    @pytest.mark.parametrize(
        ("prefix", "when", "host"),
        [
            ("Nov  4 10:00:00 mx1 postfix/smtp[123]: ", AT, "mx1"),
            ("Nov 04 10:00:00 mx1 postfix/smtp[123]: ", AT, "mx1"),
            ("Nov  4 10:00:00.123 mx1 postfix/smtp[123]: ", AT, "mx1"),
            ("Nov  4 2024 10:00:00 mx1 postfix/smtp[123]: ", AT, "mx1"),
            ("<22>Nov  4 10:00:00 mx1 postfix/smtp[123]: ", AT, "mx1"),
            ("<22>1 2024-11-04T10:00:00Z mx1 postfix/smtp 123 - - ", AT.replace(tzinfo=UTC), "mx1"),
            (
                '<22>1 2024-11-04T10:00:00Z mx1 postfix/smtp 123 ID1 [a@1 b="c"][d] \ufeff',
                AT.replace(tzinfo=UTC),
                "mx1",
            ),
            ("2024-11-04T10:00:00.000000+00:00 mx1 postfix/smtp[123]: ", AT.replace(tzinfo=UTC), "mx1"),
            ("2024-11-04T10:00:00+0000 mx1 postfix/smtp[123]: ", AT.replace(tzinfo=UTC), "mx1"),
            ("2024-11-04 10:00:00 mx1 postfix/smtp[123]: ", AT, "mx1"),
            ("Mon 2024-11-04 10:00:00 UTC mx1 postfix/smtp[123]: ", AT.replace(tzinfo=UTC), "mx1"),
            ("Nov  4 10:00:00 mx1 mail.info postfix/smtp[123]: ", AT, "mx1"),
            ("Nov  4 10:00:00 mx1 postfix/smtp[123]: [ID 197553 mail.info] ", AT, "mx1"),
            ("Nov  4 10:00:00 postfix/smtp[123]: ", AT, ""),
            ("Okt  4 10:00:00 mx1 postfix/smtp[123]: ", None, "mx1"),
            ("postfix/smtp[123]: ", None, ""),
            ("", None, ""),
            ("mail-1  | Nov  4 10:00:00 mx1 postfix/smtp[123]: ", AT, "mx1"),
            ("mail-1  | postfix/smtp[123]: ", None, ""),
            ("2024-11-04T10:00:01.5Z stdout F Nov  4 10:00:00 mx1 postfix/smtp[123]: ", AT, "mx1"),
            ("2024-11-04T10:00:00Z Nov  4 10:00:00 mx1 postfix-out/smtp[123]: ", AT, "mx1"),
        ],
    )
    def test_prefix(self, prefix: str, when: datetime | None, host: str) -> None:
        entry = only(prefix + self.MESSAGE)
        assert (entry.when, entry.host, entry.queue, entry.case.error) == (when, host, "A1B2C3D4E5", "timed-out")

    def test_journal(self) -> None:
        fields = {"_HOSTNAME": "mx1", "SYSLOG_IDENTIFIER": "postfix/smtp", "__REALTIME_TIMESTAMP": "1730714400000000"}
        # A message that is not UTF-8 is a list of octets there; only its octets are searched, so it is not found.
        entry = only(json.dumps({**fields, "MESSAGE": self.MESSAGE}))
        assert (entry.when, entry.host, entry.product) == (self.AT.replace(tzinfo=UTC), "mx1", "postfix")
        assert entry.case.recipient == "user@example.com"

    def test_docker(self) -> None:
        line = json.dumps(
            {"log": f"postfix/smtp[1]: {self.MESSAGE}\n", "stream": "stdout", "time": "2024-11-04T10:00:00Z"}
        )
        assert only(line).when == self.AT.replace(tzinfo=UTC)
        quoted = json.dumps({"log": ALL["opensmtpd"][0][1] + "\n", "stream": "stdout", "time": "2024-11-04T10:00:00Z"})
        assert only(quoted).product == "opensmtpd"

    def test_year(self) -> None:
        line = "Dec 31 23:59:59 mx1 postfix/smtp[123]: " + self.MESSAGE
        assert only(line).when == datetime(2023, 12, 31, 23, 59, 59)
        assert only(line.replace("Dec 31", "Feb 29")).when == datetime(2024, 2, 29, 23, 59, 59)
        assert only(line.replace("Dec 31", "Feb 30")).when is None


def test_an_attempt_and_its_outcome_count_once() -> None:
    said = "connect to mx.example.com[192.0.2.1]:25: Connection timed out"
    other = "connect to mx.example.com[2001:db8::1]:25: Network is unreachable"
    head = "Nov  4 10:00:00 mx1 postfix/smtp[123]: "
    status = f"A1B2C3D4E5: to=<user@example.com>, relay=none, dsn=4.4.1, status=deferred ({said})"
    entries = read("\n".join(head + message for message in (other, said, status)))
    assert sorted(entry.case.error for entry in entries) == ["timed-out", "unreachable"]
    assert len(read("\n".join([head + other] * 500))) == 500


def test_a_failed_handshake_counts_once() -> None:
    head = "Nov  4 10:00:00 mx1 postfix/smtpd[123]: "
    lines = [f"{head}SSL_accept error from a.example[192.0.2.1]: -1"]
    lines += [
        f"{head}lost connection after STARTTLS from {client}" for client in ("a.example[192.0.2.1]", "b[192.0.2.2]")
    ]
    assert [entry.case.error for entry in read("\n".join(lines))] == ["client-tls-failed", "client-lost"]
    library = f"{head}warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:statem.c:2220:"
    assert len(read("\n".join([lines[0], library, lines[1]]))) == 1
    assert len(read("\n".join([library, lines[2]]))) == 2
    deferred = "4F2A1: to=<a@example.net>, relay=none, dsn=4.7.5, status=deferred (Cannot start TLS: handshake failure)"
    library = library.replace("smtpd", "smtp")
    assert len(read("\n".join([library, head.replace("smtpd", "smtp") + deferred]))) == 1


def test_a_message_that_waits_counts_once() -> None:
    head = "2024-11-04 10:{}:00 1t7abc-000Abc-2D == {} R=dnslookup T=remote_smtp defer (-53): retry time not reached"
    lines = [f"{head.format(minute, user)} for any host" for minute in (10, 20, 30) for user in ("a@x.com", "b@x.com")]
    assert [entry.case.recipient for entry in read("\n".join(lines))] == ["a@x.com", "b@x.com"]


def test_passwords_are_not_shown() -> None:
    head = "Nov  4 10:00:00 mx1 smtpd[4711]: 5e2c9a0d4f6b1c2d smtp failed-command command="
    entry = only(f'{head}"AUTH PLAIN AGJvYgB3cm9uZw==" result="503 5.5.1 Invalid command: Command not supported"')
    assert "AGJvYg" not in repr(entry)
    assert "AUTH PLAIN [redacted]" in entry.line[1]
    assert entry.case.stage == "auth"


def test_exchange_session() -> None:
    """The command that was refused, and the envelope, are earlier lines of the same session."""

    def line(event: str, data: str, session: str = "08DA4F7C11473A60") -> str:
        return f"2024-11-04T10:00:00.000Z,EX1\\Default,{session},9,192.0.2.1:25,198.51.100.1:4711,{event},{data},"

    text = "\n".join(
        [
            line("<", "MAIL FROM:<a@example.net> SIZE=100"),
            line("<", "RCPT TO:<other@example.com>", "08DA4F7C11473A61"),
            line(">", "250 2.1.0 Sender OK"),
            line("<", "RCPT TO:<nobody@example.com>"),
            line(">", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found"),
        ]
    )
    case = only(text).case
    assert (case.stage, case.recipient, case.sender) == ("rcpt", "nobody@example.com", "a@example.net")

    # Pipelined, and the other way round: we are the client.
    text = "\n".join(
        [
            line(">", "MAIL FROM:<a@example.net>"),
            line(">", "RCPT TO:<one@example.com>"),
            line(">", "RCPT TO:<two@example.com>"),
            line("<", "250 Ok"),
            line("<", "550 5.1.1 Unknown"),
            line("<", "452 4.2.2 Over quota"),
        ]
    )
    one, two = read(text)
    assert (one.direction, one.case.recipient, one.case.stage) == ("out", "one@example.com", "rcpt")
    assert (two.case.recipient, two.case.sender) == ("two@example.com", "a@example.net")


EXCHANGE_FIELDS = "date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context"


def exchange_log(
    *events: tuple[str, str, str], connector: str = "Outbound", session: str = "08DA", quoted: bool
) -> str:
    """A protocol log of a connector that sends: event, data, context."""
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL, lineterminator="\n")
    for number, event in enumerate(events):
        ends = "192.0.2.1:51234", "198.51.100.1:25"
        writer.writerow(["2026-03-01T09:00:00.000Z", connector, session, number, *ends, *event])
    return stream.getvalue()


REFUSED_BY_EXCHANGE = (
    ("+", "", ""),
    ("<", "220 mail.example.com ESMTP", ""),
    (">", "MAIL FROM:<a@example.net>", ""),
    ("<", "250 2.1.0 Ok", ""),
    (">", "RCPT TO:<nobody@example.com>", ""),
    ("<", "550 5.1.1 <nobody@example.com>: User unknown, says this server", ""),
    ("-", "", "Local"),
)


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("connector", ["Outbound", "Outbound, main", 'EX1\\the "default"'])
@pytest.mark.parametrize("session", ["08DA4F7C11473A60", "S1", "08DA-4F7C.1"])
def test_exchange_in_any_form_of_csv(quoted: bool, connector: str, session: str) -> None:
    log = exchange_log(*REFUSED_BY_EXCHANGE, connector=connector, session=session, quoted=quoted)
    head = f"#Software: Microsoft Exchange Server\n#Fields: {EXCHANGE_FIELDS}\n"
    for text in (head + log, log):
        assert kind_of(text.encode()) == "log"
        case = only(text).case
        assert (case.stage, case.recipient, case.sender) == ("rcpt", "nobody@example.com", "a@example.net")
        assert explain_case(case).rule == "recipient-unknown"


def test_what_exchange_says_of_a_connection() -> None:
    slow = "connected party did not properly respond after a period of time 198.51.100.1:25."
    failed = f"Failed to connect. Winsock error code: 10060, Win32 error code: 10060, Error Message: {slow}"
    log = exchange_log(
        ("*", "", "attempting to connect"),
        ("*", "", failed),
        ("*", "", "TLS negotiation failed with error SocketError"),
        quoted=False,
    )
    one, two = read(log)
    assert (one.direction, one.case.error, one.case.stage, one.peer) == ("out", "timed-out", "connect", "198.51.100.1")
    assert (two.direction, two.case.error, two.case.stage) == ("out", "tls-failed", "starttls")


class TestHostile:
    @given(
        st.lists(
            st.one_of(st.binary(max_size=80), st.sampled_from([line.encode() for _, _, line in SAMPLES])), max_size=8
        )
    )
    @settings(max_examples=200, deadline=None)
    def test_any_bytes(self, parts: list[bytes]) -> None:
        _check(read_log(parts, today=TODAY))
        _check(read_log(io.BytesIO(b"".join(parts)), today=TODAY))

    @given(st.data())
    @settings(max_examples=300, deadline=None)
    def test_damaged_lines(self, data: st.DataObject) -> None:
        line = data.draw(st.sampled_from(SAMPLES))[2].encode()
        cut = data.draw(st.integers(0, len(line)))
        _check(read_log([line[:cut] + data.draw(st.binary(max_size=20)) + line[cut + data.draw(st.integers(0, 9)) :]]))

    @given(st.binary(max_size=200), st.sampled_from([b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\x00"]))
    @settings(deadline=None)
    def test_damaged_archives(self, data: bytes, magic: bytes) -> None:
        _check(read_log(io.BytesIO(magic + data)))

    def test_control_characters_are_written_out(self) -> None:
        line = SAMPLES[0][2].replace("User unknown", "User\x1b[2J\u202e\x00 unknown").encode() + b"\xff"
        entry = only(line)
        assert entry.line[1].isprintable()
        assert "User\\x1b[2J\\u202e\\x00 unknown" in entry.case.text
        table = json.dumps({"MESSAGE": "NOQUEUE: reject: RCPT from a[1.1.1.1]: 550 \x1b[2J\nx", "_HOSTNAME": "\x1b"})
        _check(iter(read(table)))

    def test_deep_json(self) -> None:
        assert read(b"{" + b'"a":[' * 5000 + b"status=bounced reject: ") == []

    def test_an_endless_line_is_cut(self) -> None:
        def chunks() -> Iterator[bytes]:
            yield SAMPLES[0][2].encode()
            for _ in range(1600):
                yield b"x" * 65_536
            yield b"\n" + SAMPLES[1][2].encode() + b"\n"

        tracemalloc.start()
        try:
            first, second = read_log(_Stream(chunks()), today=TODAY)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 10_000_000
        assert (first.line[0], second.line[0]) == (1, 2)
        assert len(first.line[1]) < 20_000

    def test_a_line_that_wants_to_be_slow(self) -> None:
        """No pattern may take quadratic time for long."""
        for _, _, line in SAMPLES:
            for filler in ("<", "> ", ", to=<", ": ", "a" * 7, "[1]", '="', "(in reply to ", "550-5.1.1 ", " H=<", "@"):
                words = line.split(" ")
                middle = len(words) // 2
                long = " ".join([*words[:middle], filler * (8000 // len(filler)), *words[middle:]])
                _check(read_log([long.encode()]))


class _Stream(io.RawIOBase):
    """A stream of chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, size: int = -1) -> bytes:
        return next(self._chunks, b"")


def _check(entries: Iterator[Entry]) -> None:
    """Nothing raises, and all that will be shown is printable."""
    kept = list(entries)
    for entry in kept:
        shown = (*(value for value in entry.case if isinstance(value, str)), entry.host, entry.queue, entry.peer)
        assert all(value.isprintable() for value in (*shown, entry.line[1])), entry
    for group in summarize(kept):
        assert all(example.isprintable() for example in group.examples)
        json.dumps(group_to_json(group))


def test_summary_of_a_hundred_thousand_lines() -> None:
    def lines() -> Iterable[bytes]:
        for number in range(100_000):
            head = f"Nov  4 {number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02} mx1 postfix"
            queue, user = f"{0xA1B2C3D000 + number:X}", f"user{number}@example{number % 7}.com"
            mx = f"mx.example{number % 7}.com[192.0.2.{number % 250}]"
            status = f"{head}/smtp[{number}]: {queue}: to=<{user}>, relay={mx}:25, delay=1, dsn="
            kind = number % 10
            if kind < 3:
                line = f"{status}2.0.0, status=sent (250 2.0.0 Ok: queued as {queue})"
            elif kind < 6:
                line = (
                    f"{status}5.1.1, status=bounced (host {mx} said: 550 5.1.1 <{user}>: Recipient address rejected: "
                )
                line += "User unknown in local recipient table (in reply to RCPT TO command))"
            elif kind < 8:
                line = f"{status}4.4.1, status=deferred (connect to {mx}:25: Connection refused)"
            elif kind < 9:
                line = (
                    f"{head}/smtpd[{number}]: warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: UGFzc3dv"
                )
            else:
                line = f"{head}/smtpd[{number}]: connect from unknown[192.0.2.9]"
            yield line.encode()

    groups = summarize(read_log(lines(), today=TODAY))
    assert [(group.count, group.finding.rule) for group in groups] == [
        (30_000, "recipient-unknown"),
        (20_000, "connection-refused"),
        (10_000, "credentials-wrong"),
    ]
    unknown, refused, wrong = groups
    assert [group.direction for group in groups] == ["out", "out", "in"]
    assert unknown.first == datetime(2024, 11, 4, 0, 0, 3)
    assert unknown.last is not None
    assert unknown.last.hour == 23
    assert len(unknown.domains) == 5
    assert unknown.domains[0][0].startswith("example")
    assert refused.peers[0][0].startswith("mx.example")
    assert 2 <= len(unknown.examples) <= 3
    assert wrong.peers == (("192.0.2.9", 10_000),)
    # What differs from line to line is not named in the cause.
    assert "user" not in unknown.finding.title
    assert len(unknown.texts) == 1


def test_a_group_of_one_names_the_recipient() -> None:
    (group,) = summarize(read(SAMPLES[0][2]))
    assert "user@example.com" in group.finding.title
    document = group_to_json(group)
    assert document["count"] == 1
    assert document["recipient"] == "user@example.com"


def test_times_with_and_without_a_zone() -> None:
    texts = (f"{head} mx1 postfix/smtp[1]: {TestHead.MESSAGE}" for head in ("Nov  4 10:00:00", "2024-11-04T10:00:01Z"))
    (group,) = summarize(read("\n".join(texts)))
    assert group.count == 2


def test_failures_that_no_rule_knows_are_told_apart() -> None:
    entry = only(SAMPLES[0][2])
    cases = [
        entry.case._replace(code=0, status="", error="nobody-knows", text=text) for text in ("one 1", "two", "one 2")
    ]
    groups = summarize(entry._replace(case=case) for case in cases)
    assert [(group.count, group.finding.rule) for group in groups] == [(2, "unknown"), (1, "unknown")]


def test_what_a_rule_knows_little_of_is_told_apart_by_its_text() -> None:
    head = f"{SAMPLES[0][2].partition(':')[0]}:00:00 mx1 postfix/smtpd[1]: NOQUEUE: reject: RCPT from a[192.0.2.1]: 550"
    texts = [f"{head} {words}; from=<a@example.net> to=<b@example.com> proto=SMTP" for words in ("No 1", "Odd", "No 2")]
    assert [group.count for group in summarize(read("\n".join(texts)))] == [2, 1]


@pytest.mark.parametrize("name", sorted(REAL))
def test_real_lines(name: str) -> None:
    file = SHARED / f"{name}.log"
    if not file.exists():
        pytest.skip("the real lines are not here")
    with file.open("rb") as stream:
        entries = list(read_log(stream))
    found = Counter(f"{entry.case.error or entry.case.code} {entry.case.stage}" for entry in entries)
    assert found == REAL[name]
    assert all(entry.direction == "in" and entry.when is not None and entry.peer for entry in entries)
    assert {entry.product for entry in entries} == {re.split("[-]", name)[0].replace("postscreen", "postfix")}
    assert sum(group.count for group in summarize(entries)) == len(entries)


def test_all_files_of_real_lines_are_known() -> None:
    if not SHARED.exists():
        pytest.skip("the real lines are not here")
    assert {file.stem for file in SHARED.glob("*.log")} == set(REAL)


#: What is said in a session, and how Postfix, Exim and OpenSMTPD see it.
_SESSIONS = (
    (("MAIL FROM:<a@example.com>", "RCPT TO:<nosuch@example.com>", "QUIT"), "550 rcpt"),
    (("MAIL FROM:<a@example.com>", "RCPT TO:<x@example.org>", "QUIT"), "55? rcpt"),
    (("STARTTLS", "this is no handshake at all"), "client-tls-failed starttls"),
)


@pytest.mark.peer
@pytest.mark.parametrize("name", ["postfix", "exim", "opensmtpd"])
def test_real_servers(name: str, request: pytest.FixtureRequest) -> None:
    """What these programs themselves write when they refuse a client."""
    server: MailServer = request.getfixturevalue(f"{name}_server")
    before = server.log_file.stat().st_size
    for commands, _ in _SESSIONS:
        _talk(server.port, "EHLO client.example.com", *commands)
    deadline = time.monotonic() + 10
    missing = {wanted for _, wanted in _SESSIONS}
    while missing and time.monotonic() < deadline:
        time.sleep(0.05)
        entries = list(read_log(io.BytesIO(server.log_file.read_bytes()[before:])))
        # Besides, the server may only now write of a session before these.
        seen = [f"{entry.case.error or entry.case.code} {entry.case.stage}" for entry in entries]
        missing = {wanted for wanted in missing if not any(fnmatch(got, wanted) for got in seen)}
    assert not missing, seen
    assert {(entry.product, entry.direction) for entry in entries} == {(name, "in")}


def _talk(port: int, *commands: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, connection.makefile("rb") as replies:
        replies.readline()
        for command in commands:
            connection.sendall(command.encode() + b"\r\n")
            try:
                while replies.readline()[3:4] == b"-":
                    pass
            except OSError:
                return
