"""What there is to say about each figure that misses its target; measured with perf and getrusage."""

_LAB = (
    "The lab spends about 56 % of its time in the interpreter, 36 % in the kernel and 4 % in uvloop. A server of 40 "
    "lines on the same loop that parses nothing and records nothing is level with smtp-sink, so the distance is the "
    "price of parsing, policy and a transcript in Python: some 35 calls an exchange, 8 µs warm and about twice that "
    "between two system calls. What was gained so far: the last commands and replies are remembered, events are made "
    "without a call of Python code, and there is one timer a session."
)

REMARKS: dict[str, str] = {
    "process-unverified": (
        "The extra time goes into loading the rules for the finding about the certificate, which swaks, verifying "
        "nothing, does not report."
    ),
    "client-aiosmtplib": (
        "The target is out of reach with this version of the peer: aiosmtplib takes about 360 µs of processor time a "
        "session here, 100 of them in the kernel; an eighth of that is 45 µs, and the kernel alone takes 80 µs for the "
        "sockets of a session. Ours takes about 220 µs in Python, uvloop and the event loop, and 80 in the kernel."
    ),
    "client-smtplib": (
        "Near the target, and on either side of it from run to run, depending on how the two processors are shared "
        "between the threads and smtp-sink."
    ),
    "lab-sessions-aiosmtpd": _LAB,
    "lab-sessions-sink": "As above.",
    "lab-messages-aiosmtpd": "As above.",
    "lab-messages-sink": (
        "As above. smtp-sink takes 25 µs for a message of four exchanges, the lab about 80: 45 in Python, 30 in the "
        "kernel."
    ),
}
