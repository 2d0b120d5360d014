"""What there is to say about each figure that misses its target; measured with perf and getrusage."""

_LAB = (
    "The lab makes one system call to read and one to write an exchange, as smtp-sink does, and what the kernel and "
    "uvloop take for a message is as much as all that smtp-sink takes, 50 to 60 µs here. A bare server on uvloop "
    "that understands nothing is level with smtp-sink; the lab's distance from it is the price of policy and record "
    "in Python, some 2,000 instructions of its byte code a message. So the ratio depends on the machine and on how "
    "Python was built: Debian's own build, which was optimised with a profile, reached 0.57 to 0.82 times "
    "smtp-sink's messages and 0.61 to 0.73 times its sessions, one that was not 0.47 to 0.64 and 0.60 to 0.63. "
    "Against aiosmtpd that is 5.6 to 6.7 times the messages and 3.4 to 4.1 times the sessions: what a connection "
    "costs the kernel, both pay. What was gained so far: commands that were answered before and would be answered "
    "the same again are answered from memory (a quarter to a third more), replies to what arrived together are "
    "written together (a quarter more), a read comes as bytes and not through a shared buffer (a tenth more), "
    "events are made without a call of Python code and only where somebody may look at them, and there is one timer "
    "a session. Tried and not kept: the sixteen hottest modules compiled with mypyc (1.05 to 1.2 times as fast, for "
    "a second way to build), sockets without uvloop's transports (slower), a flow that is woken less often "
    "(nothing)."
)

REMARKS: dict[str, str] = {
    "process-plain": (
        "Depends on the machine: 1.1 to 1.9 times were measured. Of some 63 ms here the interpreter's own start "
        "takes 11, and most of the rest is the import of what a session needs; swaks takes 39 in all."
    ),
    "process-starttls": (
        "Depends on the machine: 0.9 to 1.2 times were measured; verifying the certificate, which swaks does not do,"
        " costs a twentieth of the whole."
    ),
    "process-unverified": (
        "The extra time goes into loading the rules for the finding about the certificate, which swaks, verifying "
        "nothing, does not report."
    ),
    "client-aiosmtplib": (
        "The target is out of reach with this version of the peer: aiosmtplib takes about 360 µs of processor time a"
        " session here, 100 of them in the kernel; an eighth of that is 45 µs, and the kernel alone takes 80 µs for "
        "the sockets of a session. Ours takes about 220 µs in Python, uvloop and the event loop, and 80 in the "
        "kernel."
    ),
    "client-smtplib": (
        "Near the target, and on either side of it from run to run, depending on how the two processors are shared "
        "between the threads and smtp-sink."
    ),
    "lab-sessions-aiosmtpd": _LAB,
    "lab-sessions-sink": "As above.",
    "lab-messages-aiosmtpd": "As above.",
    "lab-messages-sink": "As above.",
    "logs-replies": "No ratio: it depends on the machine alone. 12 to 35 were measured.",
    "replies": "As above: 8 to 21 were measured.",
    "kept-messages-sink": "As above; keeping the message and its transcript adds a fifth. 0.45 to 0.62 were measured.",
}
