"""What ehlo knows: rules, code tables, products. Data in TOML, and its loaders; no judgement.

It is loaded when it is first asked for: a session in which all goes well pays for none of it.
"""
