"""ehlo, the SMTP debugger.

    import ehlo

    with ehlo.connect("mail.example.com") as smtp:
        print(smtp.ehlo(), smtp.capabilities.size)

What there is for programs is in `ehlo.client`; it is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ehlo.client import (
        AddressError,
        AsyncClient,
        Client,
        Connector,
        LocalProtocolError,
        NotDone,
        Reply,
        SessionError,
        TargetError,
        TLSSettings,
        connect,
    )

__version__ = "0.1.0"

__all__ = [
    "AddressError",
    "AsyncClient",
    "Client",
    "Connector",
    "LocalProtocolError",
    "NotDone",
    "Reply",
    "SessionError",
    "TLSSettings",
    "TargetError",
    "__version__",
    "connect",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'ehlo' has no attribute '{name}'")
    from ehlo import client

    return getattr(client, name)
