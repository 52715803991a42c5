"""The bad-input corpus: each a real file, each answered in words with place and remedy."""

from __future__ import annotations

import errno
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_inputs.corpus import CASES
from bad_inputs.fields import TABLE, TONE, axis, feather, hdf5, parquet, picture, tenx, wav
from bad_inputs.files import GOOD, Case, mtx, npy, npz, sparse_npz
from scipy import sparse

from nmfcore.adapters.readers import files_of, read_annotations, read_matrix, validate
from nmfcore.errors import ConfigError, InputError


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_a_bad_file_is_named_with_place_and_remedy(tmp_path: Path, case: Case) -> None:
    path = case.write(tmp_path)
    before = [file.read_bytes() for file in files_of(path)]
    with pytest.raises(InputError) as caught:
        read_matrix(path, **case.arguments)
    message = str(caught.value)
    for fragment in case.fragments:
        assert fragment in message, message
    assert message.endswith("."), message
    assert len(message) < 700, message
    assert [file.read_bytes() for file in files_of(path)] == before


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


def test_a_missing_file_is_guessed_among_its_siblings(tmp_path: Path) -> None:
    (tmp_path / "counts.tsv").write_text(GOOD)
    with pytest.raises(InputError, match=r"does not exist. Did you mean counts\.tsv\?"):
        read_matrix(tmp_path / "Count.tsv")
    with pytest.raises(InputError, match=r"its folder holds counts\.tsv"):
        read_matrix(tmp_path / "zzz.npy")
    with pytest.raises(InputError, match="there is no folder"):
        read_matrix(tmp_path / "nowhere" / "x.tsv")
    with pytest.raises(InputError, match="does not exist"):
        read_matrix(tmp_path / "counts.tsv" / "x.tsv")


@pytest.mark.parametrize("name", ["x" * 300 + ".tsv", "a\0b.tsv"])
def test_an_impossible_path_is_an_input_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="Check the path"):
        read_matrix(tmp_path / name)


def test_a_folder_is_an_input_error(tmp_path: Path) -> None:
    folder = tmp_path / "run.tsv"
    folder.mkdir()
    (folder / "counts.csv").write_text(GOOD)
    with pytest.raises(InputError, match=r"is a folder with none.*10x \(matrix.*counts\.csv"):
        read_matrix(folder)
    with pytest.raises(InputError, match=r"is a folder, which is not read as table.*counts\.csv"):
        read_matrix(folder, format_name="table")


@pytest.mark.parametrize(("name", "opener"), [("x.tsv", "read_bytes"), ("x.npy", "open")])
def test_permission_denied_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, opener: str
) -> None:
    # Root may read everything, so the refusal is played.
    path = tmp_path / name
    path.write_text(GOOD)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, opener, refuse)
    with pytest.raises(InputError, match=r"permission denied.*chmod"):
        read_matrix(path)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"orientation": "sideways"}, "features_by_samples, samples_by_features"),
        ({"missing": "drop"}, "error, mask"),
        ({"negative_tolerance": -1.0}, "negative_tolerance"),
        ({"negative_tolerance": float("nan")}, "negative_tolerance"),
    ],
)
def test_a_senseless_setting_is_a_config_error(
    tmp_path: Path, options: dict[str, Any], match: str
) -> None:
    path = tmp_path / "x.tsv"
    path.write_text(GOOD)
    with pytest.raises(ConfigError, match=match):
        read_matrix(path, **options)


def ids_case(features: str | None, samples: str | None) -> Callable[[Path], Any]:
    def read(folder: Path) -> Any:
        np.save(folder / "x.npy", np.ones((2, 3)))
        options = {}
        for key, content in (("feature_ids", features), ("sample_ids", samples)):
            if content is not None:
                (folder / f"{key}.txt").write_text(content)
                options[key] = folder / f"{key}.txt"
        return read_matrix(folder / "x.npy", **options)

    return read


@pytest.mark.parametrize(
    ("read", "fragments"),
    [
        (
            ids_case("a\nb\nc\n", None),
            ["names 3 features (a, b, c)", "2 features × 3 samples", "transposed"],
        ),
        (ids_case(None, "a\nb\n"), ["names 2 samples", "transposed"]),
        (ids_case("a\n", None), ["names 1 feature (a)", "one id a line"]),
        (ids_case(None, "odd\na\nb\nc\n"), ["4 samples", "first line ('odd') is a header"]),
        (ids_case("a\n\tx\n", None), ["without an id", "line 2"]),
        (ids_case("a\na\n", None), ["'a' (features 1, 2)"]),
        (ids_case("", None), ["feature_ids.txt is empty"]),
    ],
)
def test_ids_must_fit_the_axis(
    tmp_path: Path, read: Callable[[Path], Any], fragments: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_table_with_ids_takes_no_others(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text(GOOD)
    (tmp_path / "ids.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match=r"names its features itself \(g1, g2\).*Leave out"):
        read_matrix(tmp_path / "x.tsv", feature_ids=tmp_path / "ids.txt")
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    with pytest.raises(InputError, match="Did you mean"):
        read_matrix(tmp_path / "x.npy", sample_ids=tmp_path / "id.txt")


ANNOTATIONS = "sample\tsubtype\ts1\tx\n"


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        (
            "sample\tsubtype\nt1\tA\nt2\tB\n",
            ["2 ids of 2", "'t1', 't2'", "3 samples of 3", "'s1', 's2'", "exactly"],
        ),
        ("sample\tsubtype\ns1\tA\nS2\tB\n", ["1 id of 2", "'S2'", "2 samples of 3"]),
        ("gene\tpathway\ng1\tA\ng2\tB\n", ["'g1'", "transposed", "orientation"]),
        ("s1\tA\ns2\tB\n", ["line 1", "header line"]),
        ("sample\nA\n", ["single column", "tab"]),
        ("sample\tsubtype\n", ["single line"]),
        ("sample\tsubtype\ns1\tA\ns1\tB\n", ["sample id more than once: 's1'"]),
        ("sample\tx\tx\ns1\tA\tB\n", ["column more than once: 'x'"]),
        ("sample\tx\t\ns1\tA\tB\n", ["column left blank"]),
        ("sample\tx\ty\ns1\tA\tB\ns2\tA\n", ["line 3: 2 cells"]),
        ("", ["empty"]),
    ],
)
def test_annotations_must_be_about_the_samples(
    tmp_path: Path, content: str, fragments: list[str]
) -> None:
    path = tmp_path / "annotations.tsv"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        read_annotations(path, ["s1", "s2", "s3"], feature_ids=["g1", "g2"])
    for fragment in ["annotations.tsv", *fragments]:
        assert fragment in str(caught.value), str(caught.value)


def test_missing_annotations_are_guessed(tmp_path: Path) -> None:
    (tmp_path / "annotation.tsv").write_text(ANNOTATIONS)
    with pytest.raises(InputError, match=r"Did you mean annotation\.tsv"):
        read_annotations(tmp_path / "annotations.tsv", ["s1"])


def test_validate_names_the_axes_of_a_transposed_array() -> None:
    with pytest.raises(InputError, match="transposed"):
        validate(np.ones((2, 3)), ["a", "b", "c"], ["x", "y"], source="V")
    with pytest.raises(InputError, match="two dimensions"):
        validate(np.ones(3), ["a", "b", "c"], ["x"], source="V")


@pytest.mark.parametrize(
    "kind",
    [
        *["npy", "npz", "csr", "coo", "mtx", "tsv", "tsv.gz", "utf16"],
        *["h5ad", "h5", "parquet", "feather", "wav", "png"],
    ],
)
def test_no_flip_and_no_cut_raises_anything_else(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(7)
    V = rng.poisson(1.0, (6, 5)).astype(float)
    table = "\n".join(["id\t" + "\t".join("abcde")] + ["r\t1\t2\t3\t4\t5"] * 1)
    whole = {
        "npy": npy(V),
        "npz": npz(values=V, feature_ids=list("abcdef")),
        "csr": sparse_npz(sparse.csr_array(V)),
        "coo": sparse_npz(sparse.coo_array(V)),
        "mtx": mtx("2 2 2\n1 1 5\n2 2 6\n").encode(),
        "tsv": table.encode(),
        "tsv.gz": gzip.compress(table.encode()),
        "utf16": table.encode("utf-16"),
        "h5ad": hdf5(X=np.eye(2), obs=axis("a", "b"), var=axis("c", "d")),
        "h5": tenx(),
        "parquet": parquet(TABLE),
        "feather": feather(TABLE),
        "wav": wav(TONE),
        "png": picture(V),
    }[kind]
    suffix = {"csr": "npz", "coo": "npz", "utf16": "txt"}.get(kind, kind)
    path = tmp_path / f"x.{suffix}"
    source = tmp_path if kind == "png" else path
    for _ in range(60):
        position = int(rng.integers(len(whole)))
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        for content in (bytes(damaged), whole[:position]):
            path.write_bytes(content)
            try:
                read_matrix(source, min_samples=1)
            except InputError as error:
                assert str(error).strip()  # noqa: PT017
