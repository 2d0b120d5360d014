"""Whom a session's client is to be taken for: a PROXY header or XCLIENT may name another than the connection's own end.

The transcript's header is written before either comes, so whoever reads a session asks here who its client is.
"""

from __future__ import annotations

from ehlo.net.intents import endpoint
from ehlo.net.proxy import ProxyError, source_of
from ehlo.smtp.parameters import ParameterError, decode_xtext
from ehlo.transcript.transcript import Transcript


def with_named_client(transcript: Transcript) -> Transcript:
    """A server's transcript, whose target is the client that was named last; as it is where none was."""
    header, named, asked = transcript.header, False, {}
    address, port = _host_and_port(header.target)
    for event in [event for event in transcript.events if event.stage in ("connect", "ehlo")]:
        if event.kind == "note":
            if source := _source(event.fact("message")):
                (address, port), named = source, True
        elif event.kind != "line" or event.data is None:
            continue
        elif event.who == "client":
            asked = _attributes(event.text) if event.data[:8].upper() == b"XCLIENT " else {}
        elif asked and event.data.startswith(b"220"):
            # Postfix's XCLIENT_README: the reply of success is the greeting, with which the session begins anew.
            port = asked.get("PORT", "" if "ADDR" in asked else port)
            address, named, asked = asked.get("ADDR", address), True, {}
    if not named:
        return transcript
    target = endpoint(address, port) if address and port else address
    return transcript._replace(header=header._replace(target=target))


def _host_and_port(target: str) -> tuple[str, str]:
    host, _, port = target.rpartition(":")
    return host.strip("[]"), port


def _source(note: str) -> tuple[str, str] | None:
    try:
        source = source_of(note.encode("utf-8", "replace")) if note.startswith("PROXY ") else None
    except ProxyError:
        return None
    return (source[0], str(source[1])) if source is not None else None


def _attributes(command: str) -> dict[str, str]:
    """What an XCLIENT command says of the client; empty for what is not known."""
    out: dict[str, str] = {}
    for word in command.split()[1:]:
        name, _, value = word.partition("=")
        try:
            value = decode_xtext(value)
        except ParameterError:
            continue
        unknown = value.upper() in ("[UNAVAILABLE]", "[TEMPUNAVAIL]")
        out[name.upper()] = "" if unknown else value.removeprefix("IPV6:")
    return out
