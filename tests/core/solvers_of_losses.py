"""Which solvers are tested with which losses."""

PAIRS = [
    ("frobenius", "hals"),
    ("frobenius", "mu"),
    ("kullback-leibler", "cd"),
    ("kullback-leibler", "mu"),
    ("itakura-saito", "mu"),
    ("beta=0.5", "mu"),
    ("beta=1.5", "mu"),
    ("beta=3", "mu"),
]
