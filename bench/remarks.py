"""What there is to say about each figure that misses its target; measured with perf and getrusage."""

_LAB = (
    "The lab makes one system call to read and one to write an exchange, as smtp-sink does, and a bare server on "
    "uvloop that understands nothing is level with smtp-sink; the lab's distance from it is the price of policy and "
    "record in Python. Of a session's 290 µs of processor time here, 110 are the kernel's, 20 uvloop's, and the "
    "rest goes into some 4,700 instructions of Python's byte code, more than half of them for making, greeting and "
    "ending what belongs to a session; 0.67 to 0.88 times smtp-sink's sessions were measured, and 3.3 to 5.2 times "
    "aiosmtpd's: what a connection costs the kernel, all pay. Messages within a session cost 2,200 instructions "
    "each, and two thirds of their time is the kernel's: 0.72 to 0.88 times smtp-sink's were measured, and 6.6 to "
    "8.6 times aiosmtpd's, on either side of the targets. All of these depend on the machine, and on what else its "
    "host does. What was gained so far: commands that were answered before and would be answered the same again are "
    "answered from memory (a quarter to a third more), replies to what arrived together are written together (a "
    "quarter more), nothing is done twice with a message on its way to the store, and nothing once for each event "
    "when a session ends (a fifth more), a read comes as bytes and not through a shared buffer (a tenth more), "
    "events are made without a call of Python code and only where somebody may look at them, and there is one timer "
    "a session. Tried and not kept: the sixteen hottest modules compiled with mypyc (1.05 to 1.2 times as fast, for "
    "a second way to build), sockets without uvloop's transports (slower), the goodbye written and closed together "
    "with others' (slower), a flow that is woken less often (nothing)."
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
        "On either side of the target from run to run, 1.4 to 2.1 times, depending on how the two processors are "
        "shared between the threads and smtp-sink."
    ),
    "lab-sessions-aiosmtpd": _LAB,
    "lab-sessions-sink": "As above.",
    "lab-messages-aiosmtpd": "As above.",
    "lab-messages-sink": "As above.",
    "logs-replies": "No ratio: it depends on the machine alone. 12 to 35 thousand were measured.",
    "replies": "As above: 8 to 21 thousand were measured.",
    "kept-messages-sink": "As above; keeping the message and its transcript adds a fifth. 0.56 to 0.70 were measured.",
}
