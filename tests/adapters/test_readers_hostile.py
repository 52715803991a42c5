"""Files made to do harm: they are refused by name, run no code, and take no more memory than there is."""

from __future__ import annotations

import gzip
import io
import pickle
import resource
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nmfcore.adapters import readers
from nmfcore.adapters.readers import sizes
from nmfcore.errors import InputError


def header(shape: tuple[int, ...], dtype: str = "<f8") -> bytes:
    stream = io.BytesIO()
    description = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, description)
    return stream.getvalue()


def archive(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)


def zip_bomb(path: Path) -> None:
    archive(path, {"values.npy": header((2000, 1000)) + bytes(16_000_000)})


def gzip_bomb(path: Path) -> None:
    row = b"\t".join([b"0"] * 1000)
    path.write_bytes(gzip.compress(b"\n".join([row] * 5000)))


def gzip_bomb_of_two_parts(path: Path) -> None:
    half = gzip.compress(b"1\t2\n" * 600_000)
    path.write_bytes(half + half)


BOMBS = {"bomb.npz": zip_bomb, "bomb.tsv.gz": gzip_bomb, "twice.csv.gz": gzip_bomb_of_two_parts}


@pytest.mark.parametrize("name", BOMBS)
def test_what_unpacks_to_more_than_fits_is_refused_before_it_does(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    BOMBS[name](tmp_path / name)
    assert (tmp_path / name).stat().st_size < 50_000
    monkeypatch.setattr(sizes, "memory", lambda: 40_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=rf"{name} unpacks to more than 0\.0\d+ GB") as error:
        readers.read_matrix(tmp_path / name)
    assert "kept sparse" in str(error.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_what_fits_is_read(tmp_path: Path) -> None:
    zip_bomb(tmp_path / "zeros.npz")
    with pytest.raises(InputError, match="are zero, so there is nothing to factorise"):
        readers.read_matrix(tmp_path / "zeros.npz")
    assert sizes.memory() > 1e8


def claims() -> dict[str, Callable[[Path], object]]:
    banner = "%%MatrixMarket matrix"
    huge = header((10**6, 10**7)) + bytes(1000)
    coo = {"format": np.array("coo"), "shape": np.array([10**9, 10**9])}
    entries = {"row": np.arange(2), "col": np.arange(2), "data": np.ones(2)}
    return {
        "claim.npy": lambda path: path.write_bytes(huge),
        "claim.npz": lambda path: archive(path, {"values.npy": huge}),
        "coo.npz": lambda path: np.savez(path, **coo, **entries),
        "wide.mtx": lambda path: path.write_text(
            f"{banner} coordinate real general\n2000000000 2000000000 1\n1 1 5\n"
        ),
        "array.mtx": lambda path: path.write_text(
            f"{banner} array real general\n2000000000 2000000000\n1\n"
        ),
    }


@pytest.mark.parametrize("name", claims())
def test_what_claims_to_be_huge_is_refused_within_little_memory(tmp_path: Path, name: str) -> None:
    claims()[name](tmp_path / name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=name):
        readers.read_matrix(tmp_path / name)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


class Traitor:
    """Runs code when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return (_write, (str(self.place), "unpickled"))


def _write(place: str, text: str) -> int:
    return Path(place).write_text(text)


def test_no_pickle_is_loaded_whatever_it_is_called(tmp_path: Path) -> None:
    told = tmp_path / "told"
    traitor = np.empty((2, 2), object)
    traitor[:] = Traitor(told)
    np.save(tmp_path / "a.npy", traitor, allow_pickle=True)
    np.savez(tmp_path / "b.npz", values=traitor)
    np.savez(tmp_path / "c.npz", values=np.ones((2, 2)), sample_ids=traitor[0])
    for name in ("d.npy", "e.npz", "f.mtx", "g.csv"):
        (tmp_path / name).write_bytes(pickle.dumps(Traitor(told)))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(InputError, match=path.name):
            readers.read_matrix(path)
    assert not told.exists()


def test_no_module_can_load_a_pickle_or_run_text() -> None:
    """Of the library and the workflow, by name: what is not called cannot be fooled."""
    repository = Path(__file__).resolve().parents[2]
    forbidden = (
        r"allow_pickle=True|import (pickle|cloudpickle|joblib|dill|shelve|marshal)\b|pickle\.loads?\b|"
        r"yaml\.(load|full_load|unsafe_load)\b|[^.\w](eval|exec)\(|os\.system|shell=True|read_pickle|torch\.load"
    )
    found = subprocess.run(
        ["grep", "-rnEI", forbidden, "nmfcore", "workflow", "--include=*.py", "--include=*.smk"],
        cwd=repository,
        capture_output=True,
        text=True,
    )
    assert found.stdout == ""


def test_entities_of_yaml_do_not_run_code(tmp_path: Path) -> None:
    from nmfcore.adapters.config import load_config
    from nmfcore.errors import ConfigError

    told = tmp_path / "told"
    schema = Path(__file__).resolve().parents[2] / "workflow/schemas/config.schema.yaml"
    hostile = f"!!python/object/apply:os.system ['touch {told}']"
    with pytest.raises(ConfigError):
        load_config({"name": "x", "input": {"path": "x"}, "ranks": hostile}, schema)
    assert not told.exists()
