"""What a client wants of TLS, as values. (Apart from `tls.py`, since a session without TLS must not pay
for importing `ssl`.)"""

from __future__ import annotations

from typing import Literal, NamedTuple

TLSVersion = Literal["", "1.0", "1.1", "1.2", "1.3"]
TLS_VERSIONS: tuple[TLSVersion, ...] = ("1.0", "1.1", "1.2", "1.3")
#: What must be good of the server's certificate: nothing, all, or one half alone.
Verify = Literal["", "both", "chain", "name"]


class TLSSettings(NamedTuple):
    """How a client's handshakes go; empty strings leave it to OpenSSL.

    `certificate` and `key` name files in PEM form with the client's own certificate; the key may stand in
    the certificate's file. `ciphers` is a list as OpenSSL has it, for versions up to TLS 1.2.
    """

    minimum: TLSVersion = ""
    maximum: TLSVersion = ""
    ciphers: str = ""
    certificate: str = ""
    key: str = ""


DEFAULT_TLS = TLSSettings()
