"""`ehlo check` and `ehlo send`: a client session that carries out a plan.

`target` is what the user points at, `plan` what shall be done, `walk` the flow that does it.
"""
