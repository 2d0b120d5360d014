"""Exchanges, derived from events made by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ehlo.smtp.stages import STAGES
from ehlo.transcript import Event, Exchange, ExchangeReader, Facts, exchanges
from transcript.conversation import error, net, said


def summary(exchange: Exchange) -> tuple[str, str, int | None, tuple[int, ...], str]:
    """Stage, verb, reply code, numbers of the events, outcome."""
    code = exchange.reply.code if exchange.reply else None
    return exchange.stage, exchange.verb, code, exchange.numbers, exchange.outcome


def summaries(events: list[Event]) -> list[tuple[str, str, int | None, tuple[int, ...], str]]:
    return [summary(exchange) for exchange in exchanges(events)]


SESSION = [
    net("dns", "dns", 10, since=0, facts={"name": "mail.example.com", "answers": ["192.0.2.10"]}),
    net("connect", "connect", 30, since=10, facts={"address": "192.0.2.10", "port": 25}),
    *said("S: 220 mail.example.com ESMTP", "banner", since=50),
    *said("C: EHLO here.org\nS: 250-mail.example.com\nS: 250 SIZE", "ehlo", since=60),
    net("note", "starttls", 65, facts={"skipped": True, "message": "not offered"}),
    *said("C: MAIL FROM:<sender@yourdomain.com>\nS: 250 Ok", "mail", since=70),
    *said("C: RCPT TO:<one@example.com>\nS: 250 Ok", "rcpt", since=80),
    *said("C: RCPT TO:<two@example.com>\nS: 550 5.1.1 No", "rcpt", since=90),
    *said("C: RCPT TO:<three@example.com>\nS: 450 4.2.1 Later", "rcpt", since=100),
    *said("C: DATA\nS: 354 Go on", "data", since=110),
    Event(0.13, "client", "data", "message", b"hi\r\n", 0.12),
    *said("S: 250 Queued", "message", since=140),
    *said("C: QUIT\nS: 221 Bye", "quit", since=150),
    Event(0.16, "client", "close", "quit"),
]


def test_a_whole_session() -> None:
    assert summaries(SESSION) == [
        ("dns", "", None, (0,), "ok"),
        ("connect", "", None, (1,), "ok"),
        ("banner", "(connect)", 220, (2,), "ok"),
        ("ehlo", "EHLO", 250, (3, 4, 5), "ok"),
        ("starttls", "", None, (6,), "skipped"),
        ("mail", "MAIL", 250, (7, 8), "ok"),
        ("rcpt", "RCPT", 250, (9, 10), "ok"),
        ("rcpt", "RCPT", 550, (11, 12), "refused"),
        ("rcpt", "RCPT", 450, (13, 14), "refused"),
        ("data", "DATA", 354, (15, 16), "ok"),
        ("message", "(content)", 250, (17, 18), "ok"),
        ("quit", "QUIT", 221, (19, 20), "ok"),
    ]


def test_times() -> None:
    by_verb = {exchange.verb or exchange.stage: exchange for exchange in exchanges(SESSION)}
    # A step of the network by itself; the greeting from the connect on; a command to its last line.
    assert (by_verb["connect"].began, by_verb["connect"].ended) == (0.01, 0.03)
    assert (by_verb["(connect)"].began, by_verb["(connect)"].ended) == (0.03, 0.05)
    assert (by_verb["EHLO"].began, by_verb["EHLO"].ended) == (0.06, 0.062)
    # A message from its first octet on.
    assert (by_verb["(content)"].began, by_verb["(content)"].ended) == (0.12, 0.14)
    assert abs(by_verb["(content)"].seconds - 0.02) < 1e-9


def test_what_belongs_to_an_exchange() -> None:
    by_verb = {exchange.verb: exchange for exchange in exchanges(SESSION)}
    assert by_verb["EHLO"].command == SESSION[3]
    assert by_verb["EHLO"].reply is not None
    assert by_verb["EHLO"].reply.lines == ("mail.example.com", "SIZE")
    assert by_verb["(connect)"].command is None
    assert by_verb["(content)"].command == SESSION[17]
    assert [exchange.temporary for exchange in exchanges(SESSION) if exchange.verb == "RCPT"] == [False, False, True]
    assert exchanges(SESSION)[1].step == SESSION[1]


def test_pipelined_commands_get_their_replies_in_order() -> None:
    events = [
        *said("S: 220 x", "banner"),
        *said("C: MAIL FROM:<a@b.c>\nC: RCPT TO:<one@example.com>\nC: RCPT TO:<two@example.com>\nC: DATA", since=10),
        *said("S: 250 Ok\nS: 550-5.1.1 No\nS: 550 5.1.1 such user\nS: 250 Ok\nS: 354 Go on", since=20),
    ]
    assert [summary(exchange)[1:] for exchange in exchanges(events)[1:]] == [
        ("MAIL", 250, (1, 5), "ok"),
        ("RCPT", 550, (2, 6, 7), "refused"),
        ("RCPT", 250, (3, 8), "ok"),
        ("DATA", 354, (4, 9), "ok"),
    ]


def test_a_second_mail_does_not_end_a_transaction() -> None:
    mail = "C: MAIL FROM:<a@b.example>\nS: {}"
    events = [
        *said(mail.format("250 Ok"), "mail", since=10),
        *said(mail.format("503 5.5.1 nested MAIL command"), "mail", since=20),
        *said("C: RCPT TO:<one@example.com>\nS: 550 5.1.1 No", "rcpt", since=30),
        *said("C: RSET\nS: 250 Ok", "rcpt", since=40),
        *said(mail.format("503 5.7.0 Log in first"), "mail", since=50),
        *said("C: RCPT TO:<one@example.com>\nS: 503 5.5.1 need MAIL command", "rcpt", since=60),
    ]
    outcomes = [(exchange.verb, exchange.outcome) for exchange in exchanges(events)]
    assert outcomes[:3] == [("MAIL", "ok"), ("MAIL", "refused"), ("RCPT", "refused")]
    assert outcomes[3:] == [("RSET", "ok"), ("MAIL", "refused"), ("RCPT", "skipped")]


def test_responses_to_challenges_are_auth() -> None:
    events = said("""
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: EHLO+
        S: 334 UGFzc3dvcmQ6
        C: [redacted]
        S: 535 5.7.8 No
        C: QUIT
        S: 221 Bye
    """)
    assert [(exchange.verb, exchange.outcome) for exchange in exchanges(events)] == [
        ("AUTH", "ok"),
        ("AUTH", "ok"),
        ("AUTH", "refused"),
        ("QUIT", "ok"),
    ]


def test_time_out_in_mid_reply() -> None:
    events = [*said("S: 220 x", "banner"), *said("C: EHLO here.org\nS: 250-x", "ehlo", since=10)]
    events.append(error("timed-out", "ehlo", 30_000))
    failed = exchanges(events)[-1]
    assert summary(failed) == ("ehlo", "EHLO", None, (1, 2, 3), "failed")
    assert (failed.problem, failed.seconds) == (events[3], 29.99)


def test_after_a_broken_reply_the_next_one_is_whole() -> None:
    events = [
        *said("C: EHLO here.org\nS: 250-x", "ehlo"),
        error("timed-out", "ehlo", 10),
        *said("S: 421 Too slow", "ehlo", since=20),
    ]
    last = exchanges(events)[-1]
    assert (last.numbers, last.verb) == ((3,), "")
    assert last.reply is not None
    assert (last.reply.code, last.reply.lines) == (421, ("Too slow",))


def test_a_broken_login_does_not_colour_what_follows() -> None:
    events = [
        *said("C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6"),
        error("auth-in-clear", "auth", 10),
        *said("C: QUIT\nS: 221 Bye", "quit", since=20),
    ]
    assert [exchange.verb for exchange in exchanges(events)] == ["AUTH", "", "QUIT"]


def test_no_greeting_came() -> None:
    events = [
        net("connect", "connect", 20, since=0, facts={"address": "192.0.2.10", "port": 25}),
        error("timed-out", "banner", 30_000),
    ]
    failed = exchanges(events)[-1]
    assert summary(failed) == ("banner", "(connect)", None, (1,), "failed")
    assert failed.began == 0.02


def test_a_step_of_the_network_that_failed() -> None:
    facts: Facts = {"address": "192.0.2.20", "port": 25, "error": "refused", "message": "nothing listens"}
    event = net("connect", "connect", 20, since=0, facts=facts)
    assert summaries([event]) == [("connect", "", None, (0,), "failed")]
    assert exchanges([event])[0].problem == event


def test_what_this_side_did_not_want_is_a_failure_without_a_command() -> None:
    events = [*SESSION[:6], error("starttls-not-offered", "starttls", 65)]
    assert summaries(events)[-1] == ("starttls", "", None, (6,), "failed")


def test_unasked_421() -> None:
    events = [*SESSION[:9], *said("S: 421-4.3.2 Shutting\nS: 421 4.3.2 down", "mail", since=80)]
    assert summaries(events)[-1] == ("mail", "", 421, (9, 10), "refused")
    assert exchanges(events)[-1].temporary


def test_what_is_no_smtp_ends_in_its_error() -> None:
    events = [*said("S: SSH-2.0-OpenSSH_9.2", "banner"), error("no-reply-code", "banner", 10)]
    assert summaries(events) == [("banner", "(connect)", None, (0, 1), "failed")]


def test_what_came_before_the_handshake_is_no_reply() -> None:
    """RFC 3207 §6."""
    agreed = said("C: STARTTLS\nS: 220 go", "starttls")
    forged = said("S: 250-injected\nS: 250 Ok", "starttls", since=2)
    yes = ("starttls", "STARTTLS", 220, (0, 1), "ok")
    assert summaries([*agreed, *forged, error("bytes-before-tls", "starttls", 9)]) == [
        yes,
        ("starttls", "", None, (2, 3, 4), "failed"),
    ]
    # A client that lets it pass has it with the handshake; the session then begins anew.
    shaken = net("tls", "starttls", 9, facts={"version": "TLSv1.3", "cipher": "", "bits": 0})
    assert summaries([*agreed, *forged, shaken, *said("C: EHLO a\nS: 250 b", "ehlo", since=10)]) == [
        yes,
        ("starttls", "", None, (2, 3, 4), "ok"),
        ("ehlo", "EHLO", 250, (5, 6), "ok"),
    ]


def test_notes_and_the_close_are_no_exchanges() -> None:
    events = [net("note", "starttls", 0, facts={"message": "by the way"}), Event(0.1, "server", "close", "quit")]
    assert exchanges(events) == []


def test_a_running_session_and_a_file_are_one_thing() -> None:
    reader = ExchangeReader()
    assert [exchange for event in SESSION if (exchange := reader.feed(event))] == exchanges(SESSION)
    early = ExchangeReader()
    assert [early.feed(event) is not None for event in SESSION[3:6]] == [False, False, True]


_events = st.builds(
    Event,
    t=st.integers(0, 1000).map(float),
    who=st.sampled_from(["client", "server", "net"]),
    kind=st.sampled_from(["dns", "connect", "tls", "line", "data", "close", "error", "note"]),
    stage=st.sampled_from(STAGES),
    data=st.sampled_from([None, b"", b"250 Ok\r\n", b"250-x\r\n", b"334 x\r\n", b"AUTH PLAIN\r\n", b"?"]),
    first=st.none(),
    facts=st.sampled_from([{}, {"error": "reset"}, {"skipped": True}]),
)


@given(st.lists(_events, max_size=30))
def test_any_events_make_exchanges_and_each_is_in_one_at_most(events: list[Event]) -> None:
    numbers = [number for exchange in exchanges(events) for number in exchange.numbers]
    assert len(numbers) == len(set(numbers))
    assert set(numbers) <= set(range(len(events)))
