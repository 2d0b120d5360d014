"""What was sent and has not arrived: only the kernel knows which octets the other end's TCP has acknowledged."""

from __future__ import annotations

import socket
import sys


def unacknowledged(fileno: int, family: int) -> int:
    """Octets of a connection that are with the kernel still: not sent, or sent and not acknowledged (Linux: SIOCOUTQ).

    0 where there are none, and where the system does not tell.
    """
    if sys.platform != "linux" or family not in (socket.AF_INET, socket.AF_INET6):
        return 0
    import fcntl
    import termios

    try:
        # tcp(7): SIOCOUTQ has the same number as TIOCOUTQ.
        return int.from_bytes(fcntl.ioctl(fileno, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0
