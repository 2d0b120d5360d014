"""What there is to say about each figure that misses its target; measured with perf and getrusage."""

_LAB = (
    "A message takes the lab about 60 µs of processor time, half of it in the kernel and uvloop; smtp-sink takes "
    "about 35. The lab makes one system call to read and one to write an exchange, so the distance is the price of "
    "parsing, policy and a transcript in Python. What was gained so far: the last commands and replies are "
    "remembered, events are made without a call of Python code and only where somebody may look at them, the policy "
    "is asked only about what is restricted, and there is one timer a session. Compiling the sixteen hottest modules"
    " with mypyc was tried: 1.05 to 1.2 times as fast, since the kernel's half stays, which is not worth a second "
    "way to build."
)

REMARKS: dict[str, str] = {
    "process-plain": (
        "Depends on the machine: 1.1 to 1.6 times were measured. Of some 63 ms here the interpreter's own start "
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
    "kept-messages-sink": ("As above; keeping the message and its transcript adds about 15 µs."),
}
