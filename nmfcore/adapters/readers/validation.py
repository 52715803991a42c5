"""What every matrix must be before anything is computed, whatever format it came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmfcore.adapters.matrix import LabelledMatrix, Values
from nmfcore.adapters.readers.cells import EXACT_INTEGERS, N_SHOWN
from nmfcore.adapters.readers.parsed import Block
from nmfcore.adapters.readers.streamed import loaded, usable
from nmfcore.adapters.readers.wording import counted, few, quoted
from nmfcore.block_matrix import BlockMatrix
from nmfcore.errors import ConfigError, InputError

MISSING_CHOICES = ("error", "mask")
ABSENT_CHOICES = ("zero", "missing")

LARGEST_MASK = 50_000_000
"""Cells of a sparse matrix with missing cells: which are observed is stored and used cell by cell (2 GB of memory)."""


def validate(
    values: Block,
    feature_ids: Sequence[str],
    sample_ids: Sequence[str],
    *,
    source: str,
    missing: str = "error",
    absent: str = "zero",
    negative_tolerance: float = 0.0,
    notices: Sequence[str] = (),
    remedy: str = "",
    min_samples: int = 2,
) -> LabelledMatrix:
    """Return values and ids as a matrix that can be factorised, or say why they cannot.

    Parameters
    ----------
    values : (n_features, n_samples) ndarray or sparse matrix
        Not changed.
    feature_ids, sample_ids : sequence of str
    source : str
        What messages call the matrix, such as its file name.
    missing : {'error', 'mask'}
        Whether NaN is an error or a missing value (dense only).
    absent : {'zero', 'missing'}
        What a cell is that a sparse matrix does not list. Where it is missing, a listed 0 is an observed zero.
    negative_tolerance : float
        Values in [-negative_tolerance, 0) are set to 0, with a notice.
    notices : sequence of str
        What has already been noticed.
    remedy : str
        Where other values can be found, told where there are negative ones.
    min_samples : int
        2 for a matrix to factorise, 1 for new samples of components that are known.

    Returns
    -------
    LabelledMatrix

    Raises
    ------
    InputError
        If the matrix cannot be factorised.
    ConfigError
        If `missing`, `absent` or `negative_tolerance` make no sense.

    Examples
    --------
    >>> import numpy as np
    >>> validate(np.eye(2), ["g1", "g2"], ["s1", "s2"], source="example").shape
    (2, 2)
    """
    _check_settings(missing, absent, negative_tolerance)
    axes = _Axes(source, list(feature_ids), list(sample_ids), remedy)
    axes.check(values.shape, min_samples)
    if isinstance(values, BlockMatrix):
        if absent == "zero" and usable(values):
            return _by_blocks(values, axes, notices)
        values = loaded(values)
    listed, absent_notice = _listed(values, axes, absent)
    block, conversion = _floating(values, axes)
    block, missing_notice, observed = _without_missing(block, axes, missing)
    block, negative_notice = _without_negatives(block, axes, negative_tolerance)
    observed = observed if listed is None else listed
    if not _entries(block).any():
        raise InputError(
            f"{source}: all {counted(block.shape[0], 'feature')} × "
            f"{counted(block.shape[1], 'sample')} are zero{' or missing' * (observed is not None)},"
            " so there is nothing to factorise. Check how the file was written."
        )
    return LabelledMatrix(
        block,
        np.array(axes.feature_ids, dtype=np.str_),
        np.array(axes.sample_ids, dtype=np.str_),
        observed,
        (*notices, *conversion, *absent_notice, *missing_notice, *negative_notice),
    )


def _by_blocks(values: BlockMatrix, axes: _Axes, notices: Sequence[str]) -> LabelledMatrix:
    """Return a matrix that has been found sound and stays in its file."""
    target = np.dtype(np.float32 if values.dtype == np.float32 else np.float64)
    if values.dtype != target:
        notices = (*notices, f"{axes.source}: {values.dtype} values are converted to float64.")
    return LabelledMatrix(
        values.astype(target),
        np.array(axes.feature_ids, dtype=np.str_),
        np.array(axes.sample_ids, dtype=np.str_),
        None,
        tuple(notices),
    )


def _check_settings(missing: str, absent: str, negative_tolerance: float) -> None:
    for name, given, choices in (
        ("missing", missing, MISSING_CHOICES),
        ("absent", absent, ABSENT_CHOICES),
    ):
        if given not in choices:
            raise ConfigError(f"{name} is {given!r}; choose one of {', '.join(choices)}.")
    if not 0 <= negative_tolerance < np.inf:
        raise ConfigError(
            f"negative_tolerance is {negative_tolerance}; give a small number that is 0 or more."
        )


class _Axes:
    """The names of rows and columns, and how messages use them."""

    def __init__(
        self, source: str, feature_ids: list[str], sample_ids: list[str], remedy: str = ""
    ) -> None:
        self.source = source
        self.feature_ids = feature_ids
        self.sample_ids = sample_ids
        self.remedy = remedy

    def check(self, shape: tuple[int, ...], min_samples: int) -> None:
        """Refuse a matrix without two proper axes."""
        if len(shape) != 2:
            raise InputError(
                f"{self.source} has shape {tuple(shape)}; a matrix has two dimensions. "
                "Reshape it to features × samples."
            )
        named = len(self.feature_ids), len(self.sample_ids)
        if shape != named:
            hint = (
                " It is transposed: change `orientation`."
                if shape == named[::-1]
                else " Give one id for each."
            )
            raise InputError(
                f"{self.source} has {counted(shape[0], 'feature')} × {counted(shape[1], 'sample')} "
                f"but the ids name {named[0]:,} × {named[1]:,} ({few(self.feature_ids, 2)} × "
                f"{few(self.sample_ids, 2)}).{hint}"
            )
        if 0 in shape:
            raise InputError(
                f"{self.source} is empty ({counted(shape[0], 'feature')} × "
                f"{counted(shape[1], 'sample')}): there is nothing to factorise. "
                "Check how the file was written."
            )
        if shape[1] == 1 < min_samples:
            hint = (
                " If its rows are the samples, set `orientation: samples_by_features`, or the "
                "other way round."
                if shape[0] > 1
                else ""
            )
            raise InputError(
                f"{self.source} has one sample ({self.sample_ids[0]}) and "
                f"{counted(shape[0], 'feature')} ({few(self.feature_ids, 2)}): whether samples "
                f"group the same way in every run is not defined. Give two or more samples.{hint}"
            )
        self._refuse_ids("feature", self.feature_ids)
        self._refuse_ids("sample", self.sample_ids)

    def _refuse_ids(self, axis: str, ids: list[str]) -> None:
        if not all(ids):
            raise InputError(
                f"{self.source}: {counted(ids.count(''), axis)} without an id, first at position "
                f"{ids.index('') + 1}. Name every {axis}."
            )
        if len(set(ids)) == len(ids):
            return
        places: defaultdict[str, list[int]] = defaultdict(list)
        for position, name in enumerate(ids, 1):
            places[name].append(position)
        repeated = [
            f"{quoted(name)} ({axis}s {few(found)})"
            for name, found in places.items()
            if len(found) > 1
        ]
        raise InputError(
            f"{self.source}: {counted(len(repeated), f'{axis} id')} "
            f"{'occurs' if len(repeated) == 1 else 'occur'} more than once: {few(repeated)}. "
            f"Rename them, or add up or drop the repeated {axis}s."
        )

    def places(self, block: Block, wrong: NDArray[np.bool_]) -> str:
        """Return the first few cells by ids, with their values."""
        found = np.flatnonzero(wrong)
        shown = [self._place(block, int(k)) for k in found[: N_SHOWN + 1]]
        return "; ".join(shown[:N_SHOWN] + ["…"] * (len(shown) > N_SHOWN))

    def _place(self, block: Block, k: int) -> str:
        i, j = _position(block, k)
        value = _entries(block)[k]
        place = f"feature {quoted(self.feature_ids[i])}, sample {quoted(self.sample_ids[j])}"
        if np.isnan(value):
            return place
        return f"{place} ({value if value.dtype.kind in 'iu' else format(value, '.6g')})"


def _entries(block: Block) -> Block:
    """Return the stored values in one dimension: all if dense, the listed ones if sparse."""
    return block.data if sparse.issparse(block) else block.ravel()


def _position(block: Block, k: int) -> tuple[int, int]:
    """Return row and column of the k-th of `_entries`."""
    if sparse.issparse(block):
        rows, columns = block.tocoo().coords
        return int(rows[k]), int(columns[k])
    i, j = divmod(k, block.shape[1])
    return i, j


def _replaced(block: Values, wrong: NDArray[np.bool_]) -> Values:
    """Return a copy with zeros at some of `_entries`, canonical again if sparse."""
    if sparse.issparse(block):
        copy = block.copy()
        copy.data[wrong] = 0
        copy.eliminate_zeros()
        return copy
    zero = block.dtype.type(0)
    return np.where(wrong.reshape(block.shape), zero, block)


def _floating(values: Block, axes: _Axes) -> tuple[Values, tuple[str, ...]]:
    """Return float32 or float64 in native byte order: C-contiguous, or CSR without duplicates."""
    kind = values.dtype.kind
    if kind not in "fiub":
        what = {"c": "complex numbers", "O": "Python objects", "U": "text", "S": "text"}
        raise InputError(
            f"{axes.source} holds {what.get(kind, 'no numbers')} (dtype {values.dtype}). "
            "Save real, nonnegative numbers, for example by np.save(path, array.astype(float))."
        )
    target = np.dtype(np.float32 if values.dtype.newbyteorder("=") == np.float32 else np.float64)
    is_plain = values.dtype.newbyteorder("=") == target
    # Converted before duplicates are added up, so that small integer types cannot overflow.
    stored = sparse.coo_array(values) if sparse.issparse(values) else np.asarray(values)
    raw: Block = stored.data if sparse.issparse(stored) else stored
    with np.errstate(over="ignore"):
        converted = raw.astype(target)
    if not is_plain:
        _refuse_inexact(stored, raw, converted, axes)
    block = _canonical(stored, converted)
    if is_plain:
        return block, ()
    rounded = " (rounded to 53 bits)" if values.dtype.itemsize > 8 else ""
    return block, (f"{axes.source}: {values.dtype} values are converted to float64{rounded}.",)


def _canonical(stored: Block, converted: NDArray[np.floating]) -> Values:
    if not sparse.issparse(stored):
        return np.ascontiguousarray(converted)
    # A new object: the old one may claim to have no duplicates.
    block = sparse.csr_array(sparse.coo_array((converted, stored.coords), shape=stored.shape))
    block.sum_duplicates()
    block.eliminate_zeros()
    return block


def _refuse_inexact(
    stored: Block, raw: Block, converted: NDArray[np.floating], axes: _Axes
) -> None:
    if raw.dtype.kind == "f":
        wrong = np.isinf(converted) & np.isfinite(raw)
        what, remedy = "too large for float64", "Rescale the data."
    else:
        wrong = np.abs(converted) >= EXACT_INTEGERS
        wrong[wrong] = [int(a) != int(b) for a, b in zip(raw[wrong], converted[wrong], strict=True)]
        what = f"of type {raw.dtype} above 2^53 would change as a 64-bit float"
        remedy = "Check the values, or divide them by a power of ten."
    if wrong.any():
        places = axes.places(stored, wrong)
        raise InputError(
            f"{axes.source}: {counted(int(wrong.sum()), 'value')} {what}: {places}. {remedy}"
        )


def _listed(
    values: Block, axes: _Axes, absent: str
) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    """Return which cells a sparse matrix lists, where the others are missing."""
    if absent == "zero":
        return None, ()
    if not sparse.issparse(values):
        raise ConfigError(
            f"{axes.source} lists every cell, so `absent: missing` says nothing about it. Leave it out; "
            "blank, NA and NaN cells are missing where `missing: mask` is set."
        )
    size = values.shape[0] * values.shape[1]
    if size > LARGEST_MASK:
        raise InputError(
            f"{axes.source}: {counted(values.shape[0], 'feature')} × {counted(values.shape[1], 'sample')} are "
            f"{size:,} cells, more than the {LARGEST_MASK:,} for which cells may be missing. Leave out features or "
            "samples with few entries, or read what is absent as 0 (`absent: zero`)."
        )
    listed = np.zeros(values.shape, bool)
    listed[sparse.coo_array(values).coords] = True
    count = int(np.count_nonzero(listed))
    notice = f"{axes.source} lists {counted(count, 'cell')}, a share of {count / size:.2g}; the others are missing."
    return listed, (notice,)


def _without_missing(
    block: Values, axes: _Axes, missing: str
) -> tuple[Values, tuple[str, ...], NDArray[np.bool_] | None]:
    entries = _entries(block)
    if np.isfinite(entries).all():
        return block, (), None
    infinite = np.isinf(entries)
    if infinite.any():
        raise InputError(
            f"{axes.source}: {counted(int(infinite.sum()), 'infinite value')} (or too large for "
            f"float64): {axes.places(block, infinite)}. Often a division by 0 or log(0): "
            "correct the values; a missing value is left blank or written NA."
        )
    absent = np.isnan(entries)
    count = int(absent.sum())
    if sparse.issparse(block):
        raise InputError(
            f"{axes.source}: {counted(count, 'missing value')} (NaN): "
            f"{axes.places(block, absent)}. Missing values are not supported in sparse files, "
            "where an absent entry means 0: write a dense table with `missing: mask`, or leave them out of the file "
            "and set `absent: missing` if all that it does not list is missing."
        )
    share = f"{count / entries.size:.2g}"
    if missing == "error":
        raise InputError(
            f"{axes.source}: {counted(count, 'missing value')} (blank, NA or NaN), a share of "
            f"{share}: {axes.places(block, absent)}. Fill them, leave out those features or "
            "samples, or set `missing: mask` to fit only the observed values."
        )
    observed = ~absent.reshape(block.shape)
    notice = f"{axes.source}: {counted(count, 'missing value')} masked, a share of {share}."
    return _replaced(block, absent), (notice,), observed


def _without_negatives(
    block: Values, axes: _Axes, tolerance: float
) -> tuple[Values, tuple[str, ...]]:
    entries = _entries(block)
    negative = entries < 0
    if not negative.any():
        return block, ()
    count, lowest = int(negative.sum()), float(entries.min())
    if lowest < -tolerance:
        hint = _hint_at_negatives(block, lowest)
        raise InputError(
            f"{axes.source}: {counted(count, 'negative value')} of {entries.size:,}, the lowest is "
            f"{lowest:.6g}: {axes.places(block, negative)}. NMF needs values of 0 or more. {hint}"
            f"{axes.remedy and ' ' + axes.remedy}"
        )
    notice = (
        f"{axes.source}: {counted(count, 'negative value')} down to {lowest:.6g} set to 0 "
        f"(negative_tolerance {tolerance:g})."
    )
    return _replaced(block, negative), (notice,)


def _hint_at_negatives(block: Values, lowest: float) -> str:
    highest = float(_entries(block).max())
    if -lowest <= 1e-6 * highest:
        return (
            "They are tiny, as from rounding: set `negative_tolerance` a little above "
            f"{-lowest:.1e} to read them as 0."
        )
    if _is_standardised(block):
        return "Rows or columns look z-scored (mean 0, s.d. 1): use the data before that step."
    if max(highest, -lowest) < 40:
        return (
            "Data that were logged, centred or z-scored look like this: use them before that step "
            "(log(1 + x) of counts stays at 0 or more)."
        )
    return "Check for background subtraction or differences; correct the values or set them to 0."


def _is_standardised(block: Values) -> bool:
    if sparse.issparse(block):
        return False
    with np.errstate(all="ignore"):
        return any(
            block.shape[axis] > 2
            and bool(np.median(np.abs(block.mean(axis=axis))) < 0.05)
            and bool(np.abs(np.median(block.std(axis=axis)) - 1) < 0.25)
            for axis in (0, 1)
        )
