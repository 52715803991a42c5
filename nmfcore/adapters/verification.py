"""What holds of a results folder: digests, seals, origins, tables, losses, the decision.

Nothing is believed that can be computed again: every npz and JSON by its seal, every file by the digest that
`provenance.json` recorded, the matrix by its own, losses from V and the stored factors, tables for people from the
files for machines, the decision from the summaries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmfcore.adapters import store
from nmfcore.adapters.solving import solution_tables
from nmfcore.adapters.stages.select import criteria_table, decision_document
from nmfcore.adapters.store import Json, SweepFolder
from nmfcore.criteria import Criteria
from nmfcore.errors import ResultError
from nmfcore.problem import Problem, pose

LOSS_TOLERANCE = 1e-9
"""Relative difference up to which a recomputed loss is the stored one: sums are added in another order."""

RECORD = "provenance.json"


@dataclass
class Findings:
    """What does not hold, and what is worth knowing.

    Attributes
    ----------
    defects : dict
        Of files, relative to the folder: what does not hold, a sentence.
    notes : list of str
    n_files : int
        Files that were looked at.
    n_losses : int
        Losses that were computed again.
    """

    defects: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    n_files: int = 0
    n_losses: int = 0

    def add(self, file: str, sentence: str) -> None:
        """Take down the first thing that does not hold of a file; what else is wrong with it follows from that."""
        self.defects.setdefault(file, sentence)


def verify(root: str | Path) -> Findings:
    """Check everything in `results/<name>/`.

    Parameters
    ----------
    root : path
        The folder.

    Returns
    -------
    Findings

    Raises
    ------
    ResultError
        If there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise ResultError(f"{root}: no such folder; name one below results/.")
    found = Findings()
    recorded = _check_record(root, found)
    _check_seals(root, found)
    check_contents(root, found)
    _note_others(root, recorded, found)
    return found


def check_contents(root: Path, found: Findings) -> None:
    """Check that origins, tables, losses and the decision fit each other; files known to be damaged are passed over."""
    folder = SweepFolder(root)
    for check in (_check_matrix, _check_runs, _check_solutions, _check_decision):
        try:
            check(folder, found)
        except ResultError as error:
            _take_down(root, error, found)


# ---------------------------------------------------------------- files


def _check_record(root: Path, found: Findings) -> set[str]:
    """Compare files with the digests that the sweep recorded at its end; return their names."""
    try:
        record = store.read_json(root / RECORD)
    except ResultError as error:
        found.add(RECORD, _said(error))
        return set()
    for name, entry in record["files"].items():
        path = root / name
        found.n_files += 1
        if not path.is_file():
            found.add(name, "it is missing, but belongs to the sweep")
        elif store.file_digest(path) != entry["sha256"]:
            found.add(name, f"its content is not what {RECORD} recorded")
    if len(record["environments"]) > 1:
        found.notes.append(
            f"The results were made under {len(record['environments'])} different versions or processors "
            f"({RECORD}, environments)."
        )
    return set(record["files"])


def _check_seals(root: Path, found: Findings) -> None:
    """Read every npz and JSON, also those that no record knows."""
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".npz", ".json")):
        name = path.relative_to(root).as_posix()
        if name.startswith("logs/") or _is_leftover(path):
            continue
        try:
            provenance = _provenance(path)
        except ResultError as error:
            found.add(name, _said(error))
            continue
        if provenance and provenance["settings_sha256"] != store.digest(provenance["settings"]):
            found.add(name, "the digest of its settings is not that of its settings")


def _provenance(path: Path) -> Json | None:
    if path.suffix == ".npz":
        return store.provenance_of(store.read_npz(path))
    provenance: Json | None = store.read_json(path).get("provenance")
    return provenance


def _note_others(root: Path, recorded: set[str], found: Findings) -> None:
    others = [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and path.relative_to(root).parts[0] not in ("logs", "tracking", RECORD)
        and path.relative_to(root).as_posix() not in recorded
    ]
    for path in others:
        name = path.relative_to(root).as_posix()
        if _is_leftover(path):
            found.notes.append(f"{name}: left by a job that was killed; it can be deleted.")
        elif recorded:
            found.notes.append(f"{name}: no part of the sweep that was recorded.")


def _is_leftover(path: Path) -> bool:
    return path.name.startswith(".") and path.suffix == ".tmp"


# ---------------------------------------------------------------- contents


def _check_matrix(folder: SweepFolder, found: Findings) -> None:
    name = "prepared/matrix.npz"
    matrix, said = store.read_matrix(folder.root / name)
    sha256 = store.matrix_digest(matrix)
    if said != sha256:
        found.add(name, "the digest of its matrix is not the one it carries")
    if folder.matrix_info["sha256"] != sha256:
        found.add("prepared/matrix.json", f"its digest is not that of {name}")
    source = Path(folder.matrix_info["source"]["path"])
    if not source.is_file():
        found.notes.append(f"{source}: the input is no longer there to be compared.")
    elif store.file_digest(source) != folder.matrix_info["source"]["sha256"]:
        found.add("prepared/matrix.json", f"{source} has changed since it was read")


def _check_runs(folder: SweepFolder, found: Findings) -> None:
    """Every run of the sweep: nonnegative, of this matrix, with the losses that its factors give."""
    problems = _Problems(folder)
    for file in folder.run_files():
        name = file.npz.relative_to(folder.root).as_posix()
        try:
            runs, provenance = store.read_runs([file.npz])
            problem = problems.of(runs.loss_name)
        except ResultError as error:
            _take_down(folder.root, error, found)
            continue
        if provenance["input_sha256"] != problems.sha256:
            found.add(name, "it was made from another matrix")
            continue
        said = np.stack([runs.loss, runs.relative_error])
        ended = runs.status != "non_finite"
        _compare(name, "of seed", runs.seeds, said, problem, (runs.W, runs.H), ended, found)
        table = store.table_bytes(*store.runs_table(runs)).splitlines()
        _check_table(folder.root, file.tsv, table, found, measured=True)


def _check_solutions(folder: SweepFolder, found: Findings) -> None:
    """The solution of every rank, and the chosen one: as the runs."""
    problems = _Problems(folder)
    places = [f"ranks/rank-{rank}/solution" for rank in folder.ranks]
    for place in [*places, "solution"]:
        try:
            document = store.read_json(folder.root / place / "solution.json")
            arrays = store.read_npz(folder.root / place / "solution.npz")
        except ResultError as error:
            _take_down(folder.root, error, found)
            continue
        tables: tuple[store.Table, store.Table] = ((["feature"], []), (["component"], []))
        if document["rank"] is not None:
            problem = problems.of(folder.settings["factorize"]["loss"])
            said = np.array([[document["loss"]], [document["relative_error"]]], float)
            factors = arrays["W"][None], arrays["H"][None]
            name, rank = f"{place}/solution.json", np.array([document["rank"]])
            _compare(name, "at rank", rank, said, problem, factors, np.array([True]), found)
            ids = arrays["feature_ids"], arrays["sample_ids"]
            tables = solution_tables(arrays["W"], arrays["H"], *ids, folder.matrix_info)
        for file, table in zip(("W.tsv", "H.tsv"), tables, strict=True):
            path = folder.root / place / file
            _check_table(folder.root, path, store.table_bytes(*table).splitlines(), found)


def _check_decision(folder: SweepFolder, found: Findings) -> None:
    """The decision and the table of criteria follow from the summaries, and those are of this matrix."""
    name = "selection/recommendation.json"
    documents = {f"ranks/rank-{rank}/summary.json": folder.summary(rank) for rank in folder.ranks}
    for summary, document in documents.items():
        if document["provenance"]["input_sha256"] != folder.matrix_info["sha256"]:
            found.add(summary, "it was made from another matrix")
    criteria = sorted(map(Criteria.from_document, documents.values()), key=lambda c: c.rank)
    table = store.table_bytes(*criteria_table(criteria)).splitlines()
    _check_table(folder.root, folder.root / "selection/criteria.tsv", table, found)
    said = {key: value for key, value in folder.recommendation.items() if key != "provenance"}
    if said != decision_document(criteria, folder.settings):
        found.add(
            name, "it does not follow from the summaries; another version of the rule made it"
        )


class _Problems:
    """The matrix posed for each loss that is asked for."""

    def __init__(self, folder: SweepFolder) -> None:
        self.matrix, self.sha256 = store.read_matrix(folder.root / "prepared/matrix.npz")
        self._posed: dict[str | float, Problem] = {}

    def of(self, loss: str | float) -> Problem:
        if loss not in self._posed:
            self._posed[loss] = pose(
                self.matrix.values, self.matrix.observed, loss, dtype="float64"
            )
        return self._posed[loss]


def _compare(
    name: str,
    where: str,
    which: NDArray[Any],
    said: NDArray[np.float64],
    problem: Problem,
    factors: tuple[NDArray[Any], NDArray[Any]],
    ended: NDArray[np.bool_],
    found: Findings,
) -> None:
    """Take down the first pair of factors whose losses, or signs, are not what the file says."""
    W, H = factors
    sound = np.array([_nonnegative(w) and _nonnegative(h) for w, h in zip(W, H, strict=True)])
    losses, rounding = _recomputed(problem, W, H)
    found.n_losses += int(ended.sum())
    same = np.isclose(losses, said, rtol=LOSS_TOLERANCE, atol=rounding).all(axis=0)
    for check, what in ((sound, "factors are not nonnegative numbers"), (same, "loss differs")):
        wrong = np.flatnonzero(ended & ~check)
        if wrong.size:
            i = wrong[0]
            detail = f" (stored {said[0, i]:.12g}, recomputed {losses[0, i]:.12g})"
            found.add(name, f"{what} {where} {which[i]}" + (detail if check is same else ""))


def _nonnegative(factor: NDArray[Any]) -> bool:
    return bool(np.isfinite(factor).all() and (factor >= 0).all())


def _recomputed(
    problem: Problem, W: NDArray[Any], H: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Loss and relative error of each pair of factors, a row each; and below what size each is all rounding."""
    basis, coefficients = (np.ldexp(f.astype(np.float64), -problem.exponent) for f in (W, H))
    losses = problem.losses(basis.transpose(0, 2, 1), coefficients)
    null = problem.null_loss
    relative = np.sqrt(losses / null) if null > 0 else np.zeros(len(losses))
    rounding = np.array([[float(problem.in_units(np.array(1e-16 * null)))], [1e-8]])
    return np.stack([problem.in_units(losses), relative]), rounding


def _check_table(
    root: Path, path: Path, expected: list[bytes], found: Findings, measured: bool = False
) -> None:
    """Compare a table with what it is made of; `measured` leaves the seconds, its last column, aside."""
    name = path.relative_to(root).as_posix()
    if not path.is_file():
        found.add(name, "it is missing")
        return
    lines = path.read_bytes().splitlines()
    cut: Callable[[bytes], bytes] = lambda line: line.rpartition(b"\t")[0] if measured else line  # noqa: E731
    for number, (line, meant) in enumerate(_pairs(lines, expected), start=1):
        if cut(line) != cut(meant):
            found.add(name, f"line {number} is not what the npz or JSON beside it says")
            return


def _pairs(lines: list[bytes], expected: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    missing = b"\0"
    for i in range(max(len(lines), len(expected))):
        yield (
            lines[i] if i < len(lines) else missing,
            expected[i] if i < len(expected) else missing,
        )


# ---------------------------------------------------------------- words


def _said(error: ResultError) -> str:
    """Return the sentence of an error without the path before it."""
    return str(error).split(": ", 1)[-1]


def _take_down(root: Path, error: ResultError, found: Findings) -> None:
    """Enter an error of the store under the file that it names."""
    place, _, sentence = str(error).partition(": ")
    try:
        name = Path(place).relative_to(root).as_posix()
    except ValueError:
        name, sentence = ".", str(error)
    found.add(name, sentence)
