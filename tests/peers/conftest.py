"""Makes the peers' fixtures known to the tests of the peers themselves."""

from .fixtures import (
    aiosmtpd_server,
    ca,
    exim_server,
    peer_program,
    postfix_server,
    sink_server,
)

__all__ = [
    "aiosmtpd_server",
    "ca",
    "exim_server",
    "peer_program",
    "postfix_server",
    "sink_server",
]
