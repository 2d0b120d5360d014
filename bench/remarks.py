"""What there is to say about each figure that misses its target."""

REMARKS: dict[str, str] = {}
