"""Half a minute of `benchmarks/fuzz.py`, on the same inputs every time."""

import pytest

from benchmarks import fuzz


@pytest.mark.parametrize("name", ["readers", "configuration"])
def test_nothing_else_is_raised(name):
    fuzz.outcomes.clear()
    fuzz.properties(400)[name]()
    kinds = {"readers": ("file read", "file refused")}
    for outcome in kinds.get(name, ("configuration taken", "configuration refused")):
        assert fuzz.outcomes[outcome] > 10, fuzz.outcomes
