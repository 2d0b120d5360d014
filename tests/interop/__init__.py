"""`ehlo` against programs that nobody here wrote, and against peers that misbehave.

`client.py` runs the command line in this process, by each driver; `servers.py` makes the servers alike;
`messages.py` has the messages that a transfer can break.
"""
