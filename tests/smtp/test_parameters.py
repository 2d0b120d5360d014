"""Parameters of MAIL and RCPT (RFC 5321 §4.1.2), and xtext (RFC 3461 §4)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehlo.smtp.parameters import (
    MAX_KEYWORD,
    PARAMETERS,
    ParameterError,
    Parameters,
    check_parameter,
    decode_xtext,
    encode_xtext,
    format_parameters,
    parse_parameters,
)
from grammar import parameters


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", {}),
        (" SIZE=1000", {"SIZE": "1000"}),
        (" size=1000 Body=8bitmime", {"SIZE": "1000", "BODY": "8bitmime"}),
        (" SMTPUTF8", {"SMTPUTF8": None}),
        ("  RET=HDRS   ENVID=a+2Bb ", {"RET": "HDRS", "ENVID": "a+2Bb"}),
        ("\tSIZE=1\tSMTPUTF8", {"SIZE": "1", "SMTPUTF8": None}),
        (" AUTH=<>", {"AUTH": "<>"}),
        (" X-1=ü", {"X-1": "ü"}),
    ],
)
def test_read(text: str, parameters: Parameters) -> None:
    assert parse_parameters(text) == parameters


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("SIZE=", "SIZE= is not followed by a value"),
        ("size=1=2", "SIZE= is not followed by a value"),
        ("SIZE=1 size=2", "SIZE is given twice"),
        ("=1", "'' is not a parameter keyword"),
        ("-X=1", "'-X' is not a parameter keyword"),
        ("S_ZE=1", "'S_ZE' is not a parameter keyword"),
        ("SIZE = 1", "'' is not a parameter keyword"),
        ("K" * (MAX_KEYWORD + 1), "is not a parameter keyword"),
    ],
)
def test_not_read(text: str, why: str) -> None:
    with pytest.raises(ParameterError, match=re.escape(why)) as raised:
        parse_parameters(text)
    assert len(str(raised.value)) < 120


@pytest.mark.parametrize("parameters", [{"": None}, {"A B": None}, {"SIZE": ""}, {"SIZE": "a b"}, {"SIZE": "1\r\n"}])
def test_not_written(parameters: Parameters) -> None:
    with pytest.raises(ParameterError):
        format_parameters(parameters)


@given(parameters)
def test_what_is_written_is_read(parameters: Parameters) -> None:
    assert parse_parameters(format_parameters(parameters)) == parameters


@given(st.text())
def test_any_text_is_parameters_or_an_error(text: str) -> None:
    try:
        parameters = parse_parameters(text)
    except ParameterError:
        return
    assert parse_parameters(format_parameters(parameters)) == parameters


@pytest.mark.parametrize(
    ("verb", "keyword", "value"),
    [
        ("MAIL", "SIZE", "1000"),
        ("MAIL", "BODY", "8BITMIME"),
        ("MAIL", "BODY", "7bit"),
        ("MAIL", "SMTPUTF8", None),
        ("VRFY", "SMTPUTF8", None),
        ("MAIL", "RET", "full"),
        ("MAIL", "ENVID", "QQ314159"),
        ("RCPT", "NOTIFY", "NEVER"),
        ("RCPT", "NOTIFY", "SUCCESS,FAILURE,DELAY"),
        ("RCPT", "ORCPT", "rfc822;Bob+40example.com"),
        ("RCPT", "ORCPT", "utf-8;ü@example.com"),
        ("MAIL", "AUTH", "<>"),
        ("MAIL", "AUTH", "e+3Dmc2@example.com"),
        ("MAIL", "REQUIRETLS", None),
        ("MAIL", "MT-PRIORITY", "-3"),
        ("MAIL", "BY", "120;R"),
        ("MAIL", "HOLDFOR", "86400"),
        ("MAIL", "HOLDUNTIL", "2030-01-01T08:00:00Z"),
        ("MAIL", "HOLDUNTIL", "2030-01-01T08:00:00.5+01:00"),
    ],
)
def test_registered_parameter(verb: str, keyword: str, value: str | None) -> None:
    assert check_parameter(verb, keyword, value) is None


@pytest.mark.parametrize(
    ("verb", "keyword", "value", "why"),
    [
        ("MAIL", "SIZE", None, "RFC 1870"),
        ("MAIL", "SIZE", "1k", "RFC 1870"),
        ("MAIL", "SIZE", "1" * 21, "RFC 1870"),
        ("MAIL", "BODY", "9BIT", "RFC 6152"),
        ("MAIL", "SMTPUTF8", "yes", "takes no value"),
        ("RCPT", "SIZE", "1000", "belongs to MAIL, not to RCPT"),
        ("RCPT", "SMTPUTF8", None, "belongs to MAIL or VRFY or EXPN, not to RCPT"),
        ("MAIL", "NOTIFY", "NEVER", "belongs to RCPT, not to MAIL"),
        ("RCPT", "NOTIFY", "NEVER,DELAY", "RFC 3461"),
        ("RCPT", "ORCPT", "Bob@example.com", "RFC 3461"),
        ("MAIL", "ENVID", "a+2b", "RFC 3461"),
        ("MAIL", "XYZ", None, "not a parameter that is known"),
        ("MAIL", "MT-PRIORITY", "10", "is a number from -9 to 9 (RFC 6710"),
        ("MAIL", "HOLDUNTIL", "T", "is a date and time such as"),
    ],
)
def test_wrong_parameter(verb: str, keyword: str, value: str | None, why: str) -> None:
    assert why in (check_parameter(verb, keyword, value) or "")


def test_the_form_of_every_value_is_said_in_words() -> None:
    assert all(bool(known.form) == (known.value is not None) for known in PARAMETERS.values())


def test_the_table_has_keywords_as_the_reader_gives_them() -> None:
    assert all(list(parse_parameters(keyword)) == [keyword] for keyword in PARAMETERS)


@pytest.mark.parametrize(
    ("text", "xtext"),
    [("", ""), ("abc", "abc"), ("a+b=c", "a+2Bb+3Dc"), ("a b", "a+20b"), ("ü", "+C3+BC"), ("\x00~", "+00~")],
)
def test_xtext(text: str, xtext: str) -> None:
    assert encode_xtext(text) == xtext
    assert decode_xtext(xtext) == text


@pytest.mark.parametrize("xtext", ["a b", "a+2", "a+2b", "+", "a=b", "ü", "+FF"])
def test_no_xtext(xtext: str) -> None:
    with pytest.raises(ParameterError):
        decode_xtext(xtext)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_xtext_carries_any_text(text: str) -> None:
    xtext = encode_xtext(text)
    assert decode_xtext(xtext) == text
    assert not text or check_parameter("MAIL", "ENVID", xtext) is None
