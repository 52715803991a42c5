"""The example data are those that are described."""

from __future__ import annotations

from pathlib import Path

import pytest

from nmfcore.adapters.examples import carried_file, unpack_leukemia
from nmfcore.adapters.readers import read_annotations, read_matrix
from nmfcore.errors import InputError


def test_leukaemia(tmp_path: Path) -> None:
    unpack_leukemia(str(tmp_path / "matrix.tsv"), str(tmp_path / "samples.tsv"))
    matrix = read_matrix(tmp_path / "matrix.tsv")
    assert matrix.shape == (5000, 38)
    assert matrix.values.min() >= 0
    known = read_annotations(tmp_path / "samples.tsv", matrix.sample_ids.tolist())
    assert known["leukaemia"].count("ALL") == 27
    assert known["leukaemia"].count("AML") == 11
    assert {name: known["lineage"].count(name) for name in set(known["lineage"])} == {
        "B-cell": 19,
        "T-cell": 8,
        "myeloid": 11,
    }


def test_unpacking_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        unpack_leukemia(str(tmp_path / f"{name}.tsv"), str(tmp_path / f"{name}-samples.tsv"))
    for suffix in (".tsv", "-samples.tsv"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="no-such-package, which is not installed"):
        carried_file("no-such-package", "data.txt")
    with pytest.raises(InputError, match=r"pytest has no file data\.txt"):
        carried_file("pytest", "data.txt")
