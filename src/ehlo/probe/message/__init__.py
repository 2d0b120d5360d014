"""The message to send: composed, from a template, or one that was given, repaired and signed.

Each module is a function from values to octets; none of them knows the network or the command line.
"""
