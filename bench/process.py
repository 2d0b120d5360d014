"""One whole `ehlo check` process against one swaks process, on the same session."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.measure import Figure, interleaved
from bench.servers import EHLO, ENVIRONMENT, lab
from peers.debian import PeerMissing, program

_ENVELOPE = ("-f", "sender@yourdomain.com", "-t", "recipient@example.com")


def figures(runs: int) -> Iterator[Figure]:
    """Plain, with STARTTLS, and with STARTTLS where the certificate does not verify."""
    rows = (
        ("process-plain", "`ehlo check`, a whole process, in clear", 1.5),
        ("process-starttls", "the same with STARTTLS, certificate verified (swaks verifies nothing)", 1.0),
        ("process-unverified", "the same with a certificate that does not verify, and the finding about it", 1.0),
    )
    try:
        swaks = str(program("swaks"))
    except PeerMissing as missing:
        yield from (Figure(id_, what, "swaks", target, False, None, str(missing)) for id_, what, target in rows)
        return
    with tempfile.TemporaryDirectory() as folder:
        authority = str(Path(folder, "ca.pem"))
        with lab("--ca-out", authority) as (port, _):
            server = f"127.0.0.1:{port}"
            plain = (swaks, "-s", server, *_ENVELOPE, "-q", "RCPT")
            check = (EHLO, "check", server, *_ENVELOPE)
            medians = interleaved(
                3 * runs,
                {
                    "swaks plain": _timed(plain),
                    "process-plain": _timed((*check, "--starttls", "never")),
                    "swaks tls": _timed((*plain, "-tls")),
                    "process-starttls": _timed((*check, "--ca-file", authority)),
                    "process-unverified": _timed(check),
                },
            )
    for id_, what, target in rows:
        peer = medians["swaks plain" if id_ == "process-plain" else "swaks tls"]
        yield Figure(id_, what, "swaks", target, False, medians[id_] / peer)


def _timed(command: tuple[str, ...]) -> Callable[[], float]:
    def run() -> float:
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT, stdin=subprocess.DEVNULL)
        return time.perf_counter() - start

    return run
