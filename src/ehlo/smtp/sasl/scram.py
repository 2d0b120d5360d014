"""SCRAM (RFC 5802, RFC 7677): both sides prove that they know the password, and neither says it. The -PLUS
forms tie the login to its TLS connection (channel binding). The computing is done by scramp."""

from __future__ import annotations

import re

from ehlo.smtp.sasl.mechanism import Contents, Credentials, MechanismError, MechanismExchange, Side, text_of

#: Bounds what a hostile server can make us compute: some seconds. Servers use 4096 to some hundred thousand.
MOST_ITERATIONS = 10_000_000
#: RFC 7677 §4: fewer than these are too few to protect the password against the server's messages being read.
FEWEST_ITERATIONS = 1000
#: RFC 5802 §7: the client's first message, with the user between "n=" and the nonce.
_CLIENT_FIRST = re.compile(rb"(?:[ny]|p=[^,]+),(?:a=[^,]*)?,(?:m=[^,]*,)?n=([^,]*),r=[^,]+")


def scram(name: str, credentials: Credentials, *, nonce: str | None = None) -> MechanismExchange:
    """The exchange of SCRAM-`name`, such as "SHA-256" or "SHA-256-PLUS"; `nonce` is the client's, for tests."""
    from scramp import ScramClient, ScramException

    if credentials.authzid:
        raise MechanismError("SCRAM cannot act as another user here; leave out the authorization identity.")
    binding = credentials.binding if name.endswith("-PLUS") else None
    if name.endswith("-PLUS") and binding is None:
        raise MechanismError("There is no TLS connection to bind the login to.")
    try:
        client = ScramClient(
            [f"SCRAM-{name}"],
            credentials.user,
            credentials.password,
            channel_binding=None if binding is None else (binding.kind, binding.data),
            c_nonce=nonce,
        )
        challenge = yield str(client.get_client_first()).encode()
        _check_iterations(challenge)
        client.set_server_first(_text(challenge))
        final = yield str(client.get_client_final()).encode()
        if error := re.match(r"e=(.*)", _text(final)):
            raise MechanismError(f"the server refused with the error '{error[1]}'")
        client.set_server_final(_text(final))
    except ScramException as error:
        raise MechanismError(_sentence(str(error))) from None
    except (ValueError, IndexError, KeyError) as error:
        raise MechanismError(f"The server's message is not of the form of RFC 5802 ({error}).") from None
    yield b""


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise MechanismError("The server's message is not UTF-8 (RFC 5802 §7).") from None


def _check_iterations(challenge: bytes) -> None:
    found = re.search(rb",i=([0-9]+)", challenge)
    if found is None:
        return
    # Python refuses to read numbers of thousands of digits.
    count = int(found[1][:12])
    if count > MOST_ITERATIONS:
        raise MechanismError(f"The server wants {text_of(found[1][:20])} iterations; {MOST_ITERATIONS} are the most.")
    if count < FEWEST_ITERATIONS:
        raise MechanismError(f"The server wants {count} iterations only, which protect no password (RFC 7677 §4).")


def _sentence(text: str) -> str:
    if "signature" in text.lower():
        return "The server's signature is wrong: it does not know the password, or somebody sits between."
    if "nonce" in text.lower():
        return "The server's nonce does not begin with ours: its message belongs to another login (RFC 5802 §5.1)."
    return f"The server's message is wrong: {text.rstrip('.')}."


def explain_scram(who: Side, data: bytes) -> str:
    """A step of SCRAM, without the proofs in it."""
    fields = dict(part.partition("=")[::2] for part in text_of(data).split(","))
    if who == "client":
        if "p" in fields and "c" in fields:
            return "the proof that it knows the password"
        flag = text_of(data).partition(",")[0]
        bound = {"n": "", "y": ", could bind the channel"}.get(flag, f", bound by {flag.removeprefix('p=')}")
        return f"user {read_scram(1, data).user or '?'}{bound}" if data else "agrees"
    if "v" in fields:
        return "the server's own signature, which proves that it knows the password"
    if "e" in fields:
        return f"error: {fields['e']}"
    return f"salt, and {fields.get('i', '?')} iterations of the hash"


def read_scram(_: int, response: bytes) -> Contents:
    """A response of SCRAM: the first one has the user."""
    first = _CLIENT_FIRST.match(response)
    # RFC 5802 §5.1: "," and "=" are escaped in it.
    user = first[1].replace(b"=2C", b",").replace(b"=3D", b"=") if first is not None else b""
    return Contents(text_of(user), (response,))
