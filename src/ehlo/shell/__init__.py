"""`ehlo shell`: talk to a server yourself.

    typed line ──> Shell.handle ──> hint, `:` command or octets ──> Conversation ──> the server
    events     ──> View         ──> lines on the terminal, explained

The shell itself (`shell.py`) knows neither a terminal nor a script; `terminal.py` and `script.py` feed it lines.
"""
