"""Makes the real peers' fixtures known to all tests."""

from peers.fixtures import (
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
