"""Result files: the only module that knows their paths and formats.

A file is complete or absent: it is written under a temporary name, flushed to disk and renamed. An npz ends with
the SHA-256 of its own bytes (as the archive comment), a JSON document carries one of its text; reading verifies
them, and refuses what does not hold with the remedy.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import json
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore import block_matrix
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.stored_rows import (
    OpenFile,
    StoredCsr,
    Stream,
    append_streams,
    stored_array,
)
from nmfcore.batches import plan_batches
from nmfcore.block_matrix import BlockMatrix, Source
from nmfcore.errors import ResultError
from nmfcore.problem import in_blocks
from nmfcore.runs import Runs, concatenate_runs

if TYPE_CHECKING:
    import pandas as pd

Json = dict[str, Any]

_SEAL = b"sha256:"
_SEAL_BYTES = len(_SEAL) + 64
_SEAL_LENGTH = _SEAL_BYTES.to_bytes(2, "little")  # as a zip archive announces its comment
_RUN_FILE = re.compile(r"rank-(\d+)/seeds-(\d+)-(\d+)\.npz$")

CONSENSUS_FIGURE = "consensus-rank-"
RUN_COLUMNS = (
    "rank",
    "seed",
    "status",
    "n_iter",
    "loss",
    "relative_error",
    "explained_variance",
    "kkt_residual",
    "seconds",
)


# ---------------------------------------------------------------- digests


def digest(document: object) -> str:
    """SHA-256 of the canonical JSON of `document`."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def matrix_digest(matrix: LabelledMatrix) -> str:
    """SHA-256 of a matrix: its values, where they are missing, and its ids.

    The same matrix gives the same digest whatever file it came from and however it is stored.
    """
    sha = hashlib.sha256(f"{matrix.shape} {matrix.values.dtype.str}".encode())
    values = in_blocks(matrix.values) if matrix.observed is None else matrix.values
    for block in [values] if not isinstance(values, BlockMatrix) else _csr_blocks(values):
        csr = sparse.csr_array(block)
        for part in (csr.data, csr.indices.astype(np.int64), csr.indptr.astype(np.int64)):
            sha.update(np.ascontiguousarray(part).data)
    if matrix.observed is not None:
        sha.update(np.packbits(matrix.observed).data)
    for ids in (matrix.feature_ids, matrix.sample_ids):
        sha.update("\0".join(map(str, ids)).encode())
    return sha.hexdigest()


def _csr_blocks(values: BlockMatrix) -> Iterator[sparse.csr_array]:
    return (block for _, block in replace(values, is_sparse=True).blocks())


def files_digest(root: str | Path, files: Sequence[Path]) -> str:
    """SHA-256 of the bytes of a file, or of the names and bytes of the files of a folder.

    Parameters
    ----------
    root : path
        The file, or the folder.
    files : sequence of path
        The file alone, or files below the folder.
    """
    if not Path(root).is_dir():
        return file_digest(root)
    return digest([[file.relative_to(root).as_posix(), file_digest(file)] for file in files])


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---------------------------------------------------------------- writing


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour of `path` that takes its place once it is safely on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _clear_leftovers(path: Path) -> None:
    """Delete temporary neighbours of `path` whose processes were killed."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        process = leftover.suffixes[-2].lstrip(".")
        if process.isdigit() and not _alive(int(process)):
            leftover.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file that is complete or absent."""
    with _replacing(Path(path)) as file:
        file.write(content)


def write_npz(
    path: str | Path,
    arrays: Mapping[str, Any],
    provenance: Json,
    streams: Mapping[str, Stream] | None = None,
) -> None:
    """Write arrays and their provenance to a sealed npz without pickles; equal content gives equal bytes."""
    with _replacing(Path(path)) as file:
        text = json.dumps(provenance, sort_keys=True, allow_nan=False)
        np.savez(file, allow_pickle=False, **arrays, provenance=np.array(text))
        append_streams(file, streams or {})
        file.seek(-2, os.SEEK_END)  # the archive ends with the length of its comment, here 0
        body = file.tell()
        file.seek(0)
        sha = hashlib.sha256()
        while chunk := file.read(min(1 << 20, body - file.tell())):
            sha.update(chunk)
        file.seek(body)
        file.write(_SEAL_LENGTH + _SEAL + sha.hexdigest().encode())


def write_json(path: str | Path, document: Json) -> None:
    """Write a JSON document that ends with the checksum of its own text up to there."""
    open_ended = {**document, "checksum": ""}
    text = json.dumps(open_ended, indent=2, ensure_ascii=False, allow_nan=False)
    body = text.removesuffix('""\n}').encode()
    write_bytes(path, body + _json_seal(body))


def _json_seal(body: bytes) -> bytes:
    """What a sealed JSON text ends with."""
    return f'"{hashlib.sha256(body).hexdigest()}"\n}}\n'.encode()


Table = tuple[Sequence[str], Sequence[Sequence[object]]]
"""Names of the columns, and the rows."""


def json_number(value: float) -> float | None:
    """A number as JSON can say it: None where it is not finite."""
    return float(value) if np.isfinite(value) else None


def json_numbers(values: Iterable[float]) -> list[float | None]:
    """Numbers as JSON can say them."""
    return [json_number(value) for value in values]


def write_table(path: str | Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a TSV; None and NaN become empty cells."""
    write_bytes(path, table_bytes(columns, rows))


def table_bytes(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """Return the content of the file that `write_table` writes."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(columns)
    # Only NaN differs from itself; numbers are written with all their digits, and None as nothing, by the writer.
    writer.writerows(["" if value != value else value for value in row] for row in rows)
    return text.getvalue().encode()


# ---------------------------------------------------------------- reading


def _damaged(path: str | Path, why: str) -> ResultError:
    return ResultError(
        f"{path}: {why}. The file was changed or damaged after it was written; delete it and run "
        "the same command again: it is made anew."
    )


def read_npz(path: str | Path, *names: str) -> dict[str, NDArray[Any]]:
    """Arrays of a sealed npz, or some of them.

    Raises
    ------
    ResultError
        If the file is missing, truncated, altered, or no sealed npz.
    """
    with _sealed(path) as file, _reading(path), np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in names or archive.files}


def _sealed(path: str | Path) -> IO[bytes]:
    """Open a sealed npz whose content is what was written; it is read once, and not held."""
    try:
        file = open(path, "rb")  # noqa: SIM115 (the caller closes it)
    except FileNotFoundError:
        raise ResultError(f"{path}: no such result file; run the sweep first.") from None
    body = max(os.fstat(file.fileno()).st_size - _SEAL_BYTES - 2, 0)
    sha = hashlib.sha256()
    while chunk := file.read(min(1 << 20, body - file.tell())):
        sha.update(chunk)
    if file.read() != _SEAL_LENGTH + _SEAL + sha.hexdigest().encode():
        file.close()
        raise _damaged(path, "its checksum does not fit its content")
    file.seek(0)
    return file


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise _damaged(path, f"it cannot be read ({error})") from error


def read_json(path: str | Path) -> Json:
    """Document of a JSON result file, without its checksum.

    Raises
    ------
    ResultError
        If the file is missing, truncated or altered.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise ResultError(f"{path}: no such result file; run the sweep first.") from None
    body = content[: -len(_json_seal(b""))]
    if content != body + _json_seal(body):
        raise _damaged(path, "its checksum does not fit its content")
    try:
        document: Json = json.loads(content)
        del document["checksum"]
    except (ValueError, TypeError, KeyError) as error:  # sealed, but not by us
        raise _damaged(path, f"it is no document ({error})") from error
    return document


def provenance_of(arrays: Mapping[str, NDArray[Any]]) -> Json:
    """Return the provenance that an npz carries."""
    document: Json = json.loads(str(arrays["provenance"]))
    return document


def read_provenance(path: str | Path) -> Json:
    """Provenance of an npz whose content somebody has checked: nothing else is read.

    Raises
    ------
    ResultError
        If the file cannot be read.
    """
    with _reading(path), np.load(path, allow_pickle=False) as archive:
        return provenance_of({"provenance": archive["provenance"]})


def refuse_mixture(provenances: Mapping[str, Json], keys: Sequence[str]) -> None:
    """Raise unless all files agree on the given keys of their provenance.

    Raises
    ------
    ResultError
        Naming two files that differ and the remedy.
    """
    files = list(provenances)
    for file in files[1:]:
        for key in keys:
            if provenances[file][key] != provenances[files[0]][key]:
                raise ResultError(
                    f"{files[0]} and {file} were made from different {key.removesuffix('_sha256')} "
                    f"({provenances[files[0]][key][:12]} and {provenances[file][key][:12]}); they must not "
                    "be mixed. Delete the outdated file and run the same command again."
                )


# ---------------------------------------------------------------- the kinds of files


def write_matrix(path: str | Path, matrix: LabelledMatrix, provenance: Json) -> None:
    """Write `prepared/matrix.npz`.

    A large matrix without missing cells (`nmfcore.block_matrix`) is written block by block along its longer side: a
    dense one column by column where it has more samples than features, a sparse one as the CSR of its transpose.
    """
    values = in_blocks(matrix.values) if matrix.observed is None else matrix.values
    arrays: dict[str, Any] = {}
    streams: dict[str, Stream] = {}
    if isinstance(values, BlockMatrix):
        arrays, streams = _streamed(replace(values, is_sparse=matrix.is_sparse))
    elif sparse.issparse(values):
        arrays = {
            "data": values.data,
            "indices": values.indices,
            "indptr": values.indptr,
            "shape": np.array(values.shape),
        }
    else:
        arrays = {"values": values}
    arrays |= {"feature_ids": matrix.feature_ids, "sample_ids": matrix.sample_ids}
    if matrix.observed is not None:
        arrays["observed"] = matrix.observed
    write_npz(path, arrays, provenance, streams)


def _streamed(values: BlockMatrix) -> tuple[dict[str, Any], dict[str, Stream]]:
    """Arrays, and arrays part by part, of a large matrix."""

    def blocks() -> Iterator[Any]:
        return (block for _, block in values.blocks())

    if not values.is_sparse:
        return {}, {"values": Stream(values.shape, values.dtype, blocks, values.transposed)}
    counts = np.concatenate([np.diff(block.indptr) for block in blocks()])
    indptr = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    size = (int(indptr[-1]),)
    streams = {
        "data": Stream(size, values.dtype, lambda: (block.data for block in blocks())),
        "indices": Stream(size, np.dtype(np.int32), lambda: (block.indices for block in blocks())),
    }
    kept = {"indptr": indptr, "shape": np.array(values.shape)}
    return kept | {"transposed": np.array(values.transposed)}, streams


def read_matrix(path: str | Path) -> tuple[LabelledMatrix, str]:
    """Matrix of `prepared/matrix.npz` and its digest; the values of a large one stay on disk."""
    with (
        _sealed(path) as file,
        _reading(path),
        np.load(file, allow_pickle=False) as archive,
    ):
        names = [n for n in archive.files if n not in ("values", "data", "indices")]
        arrays = {name: archive[name] for name in names}
        values = _stored_values(file, archive, arrays)
    matrix = LabelledMatrix(
        values, arrays["feature_ids"], arrays["sample_ids"], arrays.get("observed")
    )
    return matrix, str(provenance_of(arrays)["input_sha256"])


def _stored_values(file: IO[bytes], archive: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Values of a matrix in an npz: by blocks where it was written so, else in memory."""
    if "values" in archive.files:
        rows, transposed = stored_array(OpenFile(file), archive.zip, "values")
        is_large = rows.shape[0] * rows.shape[1] > block_matrix.LARGE and "observed" not in arrays
        if is_large and rows.shape[0] >= rows.shape[1]:
            return BlockMatrix(Source(rows), transposed, rows.dtype)
        return archive["values"]
    n_features, n_samples = map(int, arrays["shape"])
    shape = (n_features, n_samples)
    if "transposed" not in arrays:
        return sparse.csr_array(
            (archive["data"], archive["indices"], arrays["indptr"]), shape=shape
        )
    transposed = bool(arrays["transposed"])
    kept = OpenFile(file)
    data, indices = (stored_array(kept, archive.zip, name)[0] for name in ("data", "indices"))
    stored = StoredCsr(
        data, indices, arrays["indptr"], (n_samples, n_features) if transposed else shape
    )
    return BlockMatrix(Source(stored), transposed, stored.dtype, 0, True)


def write_runs(npz: str | Path, tsv: str | Path, runs: Runs, provenance: Json) -> None:
    """Write a batch: factors and traces for machines, one line a run for people."""
    write_table(tsv, *runs_table(runs))
    # The measured seconds stay out of the npz: equal settings give equal bytes.
    arrays = {name: getattr(runs, name) for name in _RUN_ARRAYS}
    description = {"rank": runs.rank, "loss_name": runs.loss_name, "solver": runs.solver}
    write_npz(npz, arrays, {**provenance, "runs": description})


def runs_table(runs: Runs) -> Table:
    """Return what the TSV of a batch says: one line a run."""
    variance = runs.explained_variance
    return RUN_COLUMNS, [
        (
            runs.rank,
            int(seed),
            str(runs.status[i]),
            int(runs.n_iter[i]),
            float(runs.loss[i]),
            float(runs.relative_error[i]),
            None if variance is None else float(variance[i]),
            float(runs.kkt_residual[i]),
            float(runs.seconds[i]),
        )
        for i, seed in enumerate(runs.seeds)
    ]


_RUN_ARRAYS = (
    "seeds",
    "W",
    "H",
    "loss",
    "relative_error",
    "kkt_residual",
    "n_iter",
    "status",
    "trace",
)


def read_runs(paths: Sequence[str | Path], max_seeds: int | None = None) -> tuple[Runs, Json]:
    """Runs of one rank from its batch files, in the order of their seeds, and their provenance.

    Parameters
    ----------
    paths : sequence of path
        npz files of one rank.
    max_seeds : int, optional
        Leave out seeds from this one on.

    Raises
    ------
    ResultError
        If a file is damaged, or two were made from different input, settings or code.
    """
    batches: list[Runs] = []
    provenances: dict[str, Json] = {}
    for path in paths:
        arrays = read_npz(path)
        provenances[str(path)] = provenance = provenance_of(arrays)
        description = provenance.pop("runs")
        members: dict[str, Any] = {name: arrays[name] for name in _RUN_ARRAYS}
        batches.append(
            Runs(**members, seconds=np.full(len(arrays["seeds"]), np.nan), **description)
        )
    refuse_mixture(provenances, ("input_sha256", "settings_sha256", "code"))
    runs = concatenate_runs(batches)
    if max_seeds is not None:
        runs = runs.take(np.flatnonzero(runs.seeds < max_seeds))
    return runs, next(iter(provenances.values()))


# ---------------------------------------------------------------- a finished sweep


@dataclass(frozen=True, order=True)
class RunFile:
    """A batch file on disk: seeds `first`…`last` (inclusive) of one rank."""

    rank: int
    first: int
    last: int
    npz: Path

    @property
    def tsv(self) -> Path:
        """The table beside it."""
        return self.npz.with_suffix(".tsv")


def find_run_files(folder: str | Path, suffix: str = ".npz") -> list[RunFile]:
    """Batch files below `results/<name>/`, by rank and seed; by their tables, if only these are asked for."""
    found = []
    for file in Path(folder).glob(f"runs/rank-*/seeds-*-*{suffix}"):
        npz = file.with_suffix(".npz")
        if match := _RUN_FILE.search(npz.as_posix()):
            rank, first, last = map(int, match.groups())
            found.append(RunFile(rank, first, last, npz))
    return sorted(found)


def figure_names(ranks: Sequence[int]) -> list[str]:
    """Names (without suffix) of the figures of a sweep over these ranks, in `figures/`."""
    return [
        "reconstruction_curve",
        "rank_survey",
        "error_by_seed",
        "error_histories",
        "components",
        "component_tree",
        "component_stability",
        *(f"{CONSENSUS_FIGURE}{rank}" for rank in ranks),
    ]


class SweepFolder:
    """Read access to one sweep's results, `results/<name>/`.

    Parameters
    ----------
    root : path
        The folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.name = self.root.name

    @cached_property
    def recommendation(self) -> Json:
        """`selection/recommendation.json`."""
        return read_json(self.root / "selection/recommendation.json")

    @property
    def settings(self) -> Json:
        """Return the whole validated configuration of the sweep."""
        settings: Json = self.recommendation["provenance"]["settings"]
        return settings

    @property
    def ranks(self) -> list[int]:
        """Ranks of the sweep, ascending."""
        return list(self.recommendation["ranks"])

    @cached_property
    def matrix_info(self) -> Json:
        """`prepared/matrix.json`."""
        return read_json(self.root / "prepared/matrix.json")

    @cached_property
    def annotations(self) -> dict[str, list[str]]:
        """Columns of `prepared/annotations.json`: for each a text a sample of the matrix."""
        columns: dict[str, list[str]] = read_json(self.root / "prepared/annotations.json")[
            "columns"
        ]
        return columns

    @cached_property
    def matrix(self) -> LabelledMatrix:
        """`prepared/matrix.npz`."""
        return read_matrix(self.root / "prepared/matrix.npz")[0]

    @cached_property
    def criteria(self) -> pd.DataFrame:
        """`selection/criteria.tsv`: one line a rank, NaN where undefined."""
        import pandas as pd

        return pd.read_csv(self.root / "selection/criteria.tsv", sep="\t")

    def summary(self, rank: int) -> Json:
        """`ranks/rank-<k>/summary.json`."""
        return read_json(self.root / f"ranks/rank-{rank}/summary.json")

    def consensus(self, rank: int, *names: str) -> dict[str, NDArray[Any]]:
        """Arrays of `ranks/rank-<k>/consensus.npz`, or some of them: the matrix may be large."""
        return read_npz(self.root / f"ranks/rank-{rank}/consensus.npz", *names)

    def n_seeds(self, rank: int) -> int:
        """Seeds of a rank: as the configuration says, or as many as its runs turned out to need."""
        seeds = self.settings["seeds"]
        return int(seeds if isinstance(seeds, int) else self.summary(rank)["n_runs"])

    def run_files(self, rank: int | None = None, suffix: str = ".npz") -> list[RunFile]:
        """Batch files of one rank or of all that the sweep uses; an earlier, larger one may have left others."""
        found = {(f.rank, f.first, f.last): f for f in find_run_files(self.root, suffix)}
        files = []
        for wanted in self.ranks if rank is None else [rank]:
            existing = [(first, last) for r, first, last in found if r == wanted]
            for first, last in plan_batches(self.n_seeds(wanted), 1, existing):
                if (wanted, first, last) not in found:
                    place = self.root / f"runs/rank-{wanted}"
                    raise ResultError(
                        f"{place}: no runs of seed {first}; run the same command again."
                    )
                files.append(found[wanted, first, last])
        return files

    def runs(self, rank: int) -> Runs:
        """All runs of one rank that the sweep asked for."""
        files = [file.npz for file in self.run_files(rank)]
        return read_runs(files, self.n_seeds(rank))[0]

    @cached_property
    def runs_table(self) -> pd.DataFrame:
        """One line a run (columns as in the batch TSV files), by rank and seed."""
        import pandas as pd

        tables = [pd.read_csv(f.tsv, sep="\t") for f in self.run_files(suffix=".tsv")]
        table = pd.concat(tables)
        table = table[table["seed"] < table["rank"].map(self.n_seeds)]
        return table.sort_values(["rank", "seed"], ignore_index=True)

    @cached_property
    def solution(self) -> Json:
        """`solution/solution.json`."""
        return read_json(self.root / "solution/solution.json")

    @cached_property
    def W(self) -> pd.DataFrame:
        """`solution/W.tsv`: features × components."""
        return self._table("solution/W.tsv", "feature")

    @cached_property
    def H(self) -> pd.DataFrame:
        """`solution/H.tsv`: components × samples."""
        return self._table("solution/H.tsv", "component")

    def solution_at(self, rank: int | None = None) -> tuple[Json, dict[str, NDArray[Any]]]:
        """`solution.json` and the arrays of `solution.npz`: of the chosen rank, or of another."""
        place = self.root / ("solution" if rank is None else f"ranks/rank-{rank}/solution")
        return read_json(place / "solution.json"), read_npz(place / "solution.npz")

    @cached_property
    def solutions(self) -> dict[int, tuple[Json, dict[str, NDArray[Any]]]]:
        """`solution.json` and the arrays of `solution.npz` of every rank that has a solution."""
        found = {rank: self.solution_at(rank) for rank in self.ranks}
        return {rank: pair for rank, pair in found.items() if pair[0]["rank"] is not None}

    def _table(self, path: str, ids: str) -> pd.DataFrame:
        """Numbers with ids before them, which stay text even if they look like numbers or like nothing."""
        import pandas as pd

        table = pd.read_csv(self.root / path, sep="\t", dtype={ids: str}, keep_default_na=False)
        return table.set_index(ids)
