"""Can anything crash the readers or the configuration? Random and damaged files and settings, for as long as you like.

Whatever comes in, the answer is a sound matrix, or a complete configuration, or an error in words; never another
exception, never NaN, never memory beyond what the file holds.

Examples
--------
::

    python benchmarks/fuzz.py               # a minute
    python benchmarks/fuzz.py --hours 1
"""

from __future__ import annotations

import argparse
import copy
import gzip
import io
import json
import string
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import io as scipy_io
from scipy import sparse

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nmfcore.adapters import readers
from nmfcore.adapters.config import load_config
from nmfcore.errors import NmfcoreError

SCHEMA = Path(__file__).resolve().parents[1] / "workflow/schemas/config.schema.yaml"
LONGEST_S = 20.0
outcomes: Counter[str] = Counter()


# ---------------------------------------------------------------- files


def _sound() -> dict[str, bytes]:
    """A small sound file of each kind."""
    values = np.array([[1.0, 0.0, 2.5], [0.0, 3.0, 1e-3], [4.0, 5e6, 0.5]])
    table = "\n".join(
        ["id,s1,s2,s3", *(f"g{i}," + ",".join(map(str, row)) for i, row in enumerate(values))]
    ).encode()
    files = {"a.csv": table, "a.tsv": table.replace(b",", b"\t"), "a.csv.gz": gzip.compress(table)}
    for name, save in {
        "a.npy": lambda stream: np.save(stream, values),
        "a.npz": lambda stream: np.savez(stream, values=values, feature_ids=["a", "b", "c"]),
        "csr.npz": lambda stream: sparse.save_npz(stream, sparse.csr_array(values)),
        "coo.npz": lambda stream: sparse.save_npz(stream, sparse.coo_array(values)),
        "a.mtx": lambda stream: scipy_io.mmwrite(stream, sparse.coo_array(values)),
        "dense.mtx": lambda stream: scipy_io.mmwrite(stream, values),
    }.items():
        stream = io.BytesIO()
        save(stream)
        files[name] = stream.getvalue()
    return files


SOUND = _sound()
CELLS = st.one_of(
    st.floats(0, 1e6).map(str),
    st.integers(-3, 10**20).map(str),
    st.sampled_from(
        [
            "",
            " ",
            "NA",
            "nan",
            "inf",
            "-0",
            "1e400",
            "0x1f",
            "1_000",
            "1,5",
            '"',
            '""',
            "'",
            "=1",
            "\x1f",
        ]
    ),
    st.text(max_size=6),
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, bytes]:
    """Something like a table, of odd cells, delimiters, line ends and encodings."""
    delimiter = draw(st.sampled_from(["\t", ",", ";", " ", "|"]))
    width = draw(st.integers(1, 5))
    rows = draw(
        st.lists(
            st.one_of(
                st.lists(CELLS, min_size=width, max_size=width), st.lists(CELLS, max_size=width + 1)
            ),
            max_size=6,
        )
    )
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(delimiter.join(row) for row in rows)
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-16-le"]))
    return draw(st.sampled_from(["t.csv", "t.tsv", "t.txt"])), text.encode(encoding, "replace")


@st.composite
def market_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """Something like Matrix Market."""
    words = [
        draw(st.sampled_from(choices))
        for choices in (
            ["coordinate", "array", "vector"],
            ["real", "integer", "pattern", "complex", "text"],
            ["general", "symmetric", "skew-symmetric", "hermitian", ""],
        )
    ]
    number = st.one_of(
        st.integers(-2, 12).map(str), st.sampled_from(["1e3", "nan", "99999999999", "1.5", "x", ""])
    )
    lines = draw(st.lists(st.lists(number, min_size=1, max_size=4).map(" ".join), max_size=8))
    return "m.mtx", "\n".join([f"%%MatrixMarket matrix {' '.join(words)}", *lines]).encode()


@st.composite
def damaged_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """A sound file, or one with bytes changed, cut out or put in, perhaps under the name of another kind."""
    name = draw(st.sampled_from(sorted(SOUND)))
    content = bytearray(SOUND[name])
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 4, 6]))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        match draw(st.integers(0, 3)):
            case 0 if content:
                content[place] = draw(st.integers(0, 255))
            case 1:
                del content[place : place + draw(st.integers(1, 40))]
            case 2:
                content[place:place] = draw(st.binary(max_size=12))
            case _:
                content = content[:place] if draw(st.booleans()) else content + content[place:]
    if draw(st.integers(0, 9)) == 0:
        name = draw(st.sampled_from(sorted(SOUND)))
    return name, bytes(content)


@st.composite
def anything(draw: st.DrawFn) -> tuple[str, bytes]:
    """Bytes under any name."""
    return draw(st.sampled_from([*sorted(SOUND), "x", "x.xlsx", "x.gz"])), draw(
        st.binary(max_size=300)
    )


FILES = st.one_of(tables(), market_files(), damaged_files(), anything())


def check_file(file: tuple[str, bytes], missing: str, orientation: str) -> None:
    """Read a file: a sound matrix or an error in words, soon."""
    name, content = file
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        started = time.monotonic()
        matrix, said = None, ""
        try:
            matrix = readers.read_matrix(path, orientation=orientation, missing=missing)
        except NmfcoreError as error:
            said = str(error)
        assert time.monotonic() - started < LONGEST_S, name
    if matrix is None:
        outcomes["file refused"] += 1
        assert len(said) > 20, said
        assert "\n" not in said.strip(), said
        return
    outcomes["file read"] += 1
    data = matrix.values.data if matrix.is_sparse else np.asarray(matrix.values)
    seen = data[matrix.observed] if matrix.observed is not None and not matrix.is_sparse else data
    assert np.isfinite(seen).all()
    assert (seen >= 0).all()
    assert matrix.shape == (len(matrix.feature_ids), len(matrix.sample_ids))
    for ids in (matrix.feature_ids.tolist(), matrix.sample_ids.tolist()):
        assert len(set(ids)) == len(ids)
        assert all(ids)


# ---------------------------------------------------------------- configuration

SOUND_CONFIG = {
    "name": "x",
    "input": {"path": "x.tsv"},
    "ranks": {"min": 1, "max": 4},
    "factorize": {"loss": "frobenius", "tol": 1e-6},
    "validate": {"cross_validation": {"folds": 4}},
    "select": {"rank": None},
}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**30),
    st.floats(),
    st.text(string.printable, max_size=10),
    st.sampled_from(
        ["1e-6", "!!python/object/apply:os.getcwd []", "{a: 1", "[1, 2]", "&a [*a]", "../x"]
    ),
    st.dates(),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.one_of(st.text(max_size=6), st.integers(), st.none()), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def _places(schema: dict[str, Any]) -> list[tuple[str, ...]]:
    """Every key of the configuration, by its path."""
    found = []
    for branch in (schema, *schema.get("oneOf", ())):
        for key, part in branch.get("properties", {}).items():
            found += [(key,), *((key, *rest) for rest in _places(part))]
    return found


PLACES = _places(yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))


@st.composite
def configurations(draw: st.DrawFn) -> Any:
    """A sound configuration with some keys set to anything, or misspelt."""
    config = copy.deepcopy(SOUND_CONFIG)
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 4]))):
        *way, last = draw(st.sampled_from(PLACES))
        target: Any = config
        for key in way:
            if not isinstance(target.get(key), dict):
                target[key] = {}
            target = target[key]
        if draw(st.integers(0, 5)) == 0:
            last += draw(st.text(max_size=2))
        target[last] = draw(VALUES)
    return config


def check_config(config: Any) -> None:
    """Complete a configuration: every key there, in JSON, or an error in words."""
    given_ = copy.deepcopy(config)
    complete, said = None, ""
    try:
        complete = load_config(config, SCHEMA)
    except NmfcoreError as error:
        said = str(error)
    assert repr(config) == repr(given_), "the caller's configuration was changed"
    if complete is None:
        outcomes["configuration refused"] += 1
        assert len(said) > 20, said
        return
    outcomes["configuration taken"] += 1
    json.dumps(complete, allow_nan=False)
    assert complete["ranks"] == sorted(set(complete["ranks"]))
    assert min(complete["ranks"]) >= 1
    assert "/" not in complete["name"]
    # What is complete stays as it is.
    assert load_config(complete, SCHEMA) == complete


# ---------------------------------------------------------------- running


def properties(examples: int, seed: int | None = None) -> dict[str, Callable[[], None]]:
    """The properties, each tried on so many examples; without a seed, on the same ones every time."""
    some = settings(
        max_examples=examples,
        deadline=None,
        derandomize=seed is None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    choices = st.sampled_from(["error", "mask"]), st.sampled_from(readers.ORIENTATIONS)
    return {
        "readers": some(given(FILES, *choices)(check_file)),
        "configuration": some(given(configurations())(check_config)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--hours", type=float, default=1 / 60)
    options = parser.parse_args()
    end = time.monotonic() + 3600 * options.hours
    while time.monotonic() < end:
        for run in properties(500, seed=0).values():
            run()
    for outcome, n in sorted(outcomes.items()):
        print(f"{outcome}: {n:,}")
    print(f"{sum(outcomes.values()):,} inputs, no other exception")
    return 0


if __name__ == "__main__":
    sys.exit(main())
