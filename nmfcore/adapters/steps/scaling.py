"""Steps that change values; hidden cells stay hidden."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.readers.files import find, read_text
from nmfcore.adapters.readers.wording import counted, few, quoted
from nmfcore.adapters.steps.moments import (
    FEATURES,
    SAMPLES,
    Array,
    feature_moments,
    mapped,
    positives,
    scaled,
    totals,
)
from nmfcore.errors import InputError

Result = tuple[LabelledMatrix, str]
NORMS = ("l1", "l2", "max")


def size_factors(matrix: LabelledMatrix) -> Result:
    """Divide each sample by its size factor: the median ratio to the features' geometric means (Anders & Huber 2010).

    Only features above 0 in every sample count. Factors are brought to a geometric mean of 1.

    Parameters
    ----------
    matrix : LabelledMatrix
    """
    everywhere = positives(matrix, FEATURES) == matrix.shape[1]
    if not everywhere.any():
        raise InputError(
            "size_factors: no feature is above 0 in every sample. Use sample_totals, which needs none."
        )
    values = matrix.values[everywhere]
    logs = np.log((values.toarray() if sparse.issparse(values) else values).astype(float))
    factors = np.median(np.exp(logs - logs.mean(axis=1, keepdims=True)), axis=0)
    factors /= np.exp(np.log(factors).mean())
    return scaled(matrix, samples=1 / factors), _range("samples divided by", factors)


def sample_totals(matrix: LabelledMatrix, *, total: float | None = None) -> Result:
    """Bring the sum of each sample to one number; a sample of zeros stays as it is.

    Parameters
    ----------
    matrix : LabelledMatrix
    total : float, optional
        1e6 gives counts per million. None: the median of the sums.
    """
    sums = totals(matrix, SAMPLES)
    target = float(np.median(sums[sums > 0])) if total is None else total
    factors = np.divide(target, sums, out=np.ones_like(sums), where=sums > 0)
    effect = f"samples brought to a sum of {target:g}; {_range('multiplied by', factors)}"
    return scaled(matrix, samples=factors), effect


def tpm(matrix: LabelledMatrix, *, lengths: str) -> Result:
    """Divide each feature by its length, then bring the sum of each sample to a million (transcripts per million).

    Parameters
    ----------
    matrix : LabelledMatrix
    lengths : path
        Table with one feature a line: its id, a tab, its length. Other features may be in it.
    """
    known = _lengths(lengths)
    unknown = [str(name) for name in matrix.feature_ids if str(name) not in known]
    if unknown:
        raise InputError(
            f"tpm: {lengths} has no length of {counted(len(unknown), 'feature')} ({few(unknown)}). Add them, or leave "
            "these features out."
        )
    factors = np.array([1 / known[str(name)] for name in matrix.feature_ids])
    divided = scaled(matrix, features=factors)
    result, effect = sample_totals(divided, total=1e6)
    return result, f"features divided by their lengths; {effect}"


def _lengths(path: str) -> dict[str, float]:
    text = read_text(find(path))
    known = {}
    for k, line in enumerate(text.lines):
        name, _, rest = line.partition("\t")
        try:
            known[name.strip()] = float(rest.split("\t")[0])
        except ValueError:
            if k == 0:
                continue  # a header
            raise InputError(
                f"{text.at(k)}: {quoted(line)} where an id, a tab and a length are expected. Correct the line."
            ) from None
    wrong = [name for name, length in known.items() if not 0 < length < np.inf]
    if wrong:
        raise InputError(
            f"{text.name}: the length of {few(map(quoted, wrong))} is not above 0. Correct it."
        )
    return known


def tf_idf(matrix: LabelledMatrix, *, sublinear: bool = False) -> Result:
    """Weigh each term (feature) by how few documents (samples) hold it: v · (ln((1 + n) / (1 + n_term)) + 1).

    That is scikit-learn's smooth inverse document frequency, in which no term gets weight 0.

    Parameters
    ----------
    matrix : LabelledMatrix
        Terms × documents.
    sublinear : bool
        Whether counts become 1 + ln(count) before.
    """
    if sublinear:
        matrix = mapped(matrix, _sublinear)
    weights = np.log((1 + matrix.shape[1]) / (1 + positives(matrix, FEATURES))) + 1
    return scaled(matrix, features=weights), _range("terms multiplied by", weights)


def _sublinear(counts: Array) -> Array:
    logs = np.log(counts, out=np.zeros_like(counts), where=counts > 0)
    return np.where(counts > 0, np.maximum(logs + 1, 0), 0)


def normalize(matrix: LabelledMatrix, *, norm: str = "l2", of: str = "samples") -> Result:
    """Bring the norm of each sample, or of each feature, to 1; what is all zero stays so.

    Parameters
    ----------
    matrix : LabelledMatrix
    norm : {'l2', 'l1', 'max'}
        Euclidean length, sum, or largest value.
    of : {'samples', 'features'}
    """
    axis = SAMPLES if of == "samples" else FEATURES
    if norm == "max":
        largest = matrix.values.max(axis=axis)
        sizes = largest.toarray() if sparse.issparse(largest) else largest
        sizes = np.asarray(sizes, float).ravel()
    elif norm == "l1":
        sizes = totals(matrix, axis)
    else:
        squared = mapped(replace(matrix, values=matrix.values.astype(np.float64)), np.square)
        sizes = np.sqrt(totals(squared, axis))
    factors = np.divide(1.0, sizes, out=np.ones_like(sizes), where=sizes > 0)
    effect = _range(f"{norm} norm of {of} brought to 1; divided by", sizes)
    return scaled(matrix, **{of: factors}), effect


def scale_variance(matrix: LabelledMatrix) -> Result:
    """Divide each feature by its standard deviation over the observed cells; constant features stay as they are.

    Nothing is subtracted, so that values stay nonnegative.

    Parameters
    ----------
    matrix : LabelledMatrix
    """
    deviation = np.sqrt(feature_moments(matrix)[1])
    factors = np.divide(1.0, deviation, out=np.ones_like(deviation), where=deviation > 0)
    return scaled(matrix, features=factors), _range("features multiplied by", factors)


def log1p(matrix: LabelledMatrix) -> Result:
    """Take the natural logarithm of 1 + v.

    Parameters
    ----------
    matrix : LabelledMatrix
    """
    return mapped(matrix, np.log1p), "every value v replaced by ln(1 + v)."


def power(matrix: LabelledMatrix, *, exponent: float = 0.5) -> Result:
    """Raise every value to a power: 0.5 turns a power spectrogram into magnitudes, and evens out counts.

    Parameters
    ----------
    matrix : LabelledMatrix
    exponent : float
    """
    return mapped(matrix, lambda v: v**exponent), f"every value raised to the power {exponent:g}."


def clip(
    matrix: LabelledMatrix, *, lower: float | None = None, upper: float | None = None
) -> Result:
    """Bring values below `lower` up to it, and values above `upper` down to it.

    Parameters
    ----------
    matrix : LabelledMatrix
        Dense where `lower` is above 0.
    lower, upper : float, optional
    """
    if matrix.is_sparse and lower:
        raise InputError(
            f"clip: lower {lower:g} would make every absent entry of a sparse matrix positive. Leave lower out, or "
            "give the matrix as a dense file."
        )
    entries = matrix.values.data if matrix.is_sparse else matrix.values
    low, high = lower or 0.0, np.inf if upper is None else upper
    lowered = int(np.count_nonzero(entries > high))
    if matrix.is_sparse:
        result = mapped(matrix, lambda v: np.minimum(v, high))
        return result, f"{counted(lowered, 'value')} brought down."
    visible = np.ones(entries.shape, bool) if matrix.observed is None else matrix.observed
    raised = int(np.count_nonzero((entries < low) & visible))
    clipped = np.where(visible, np.clip(entries, low, high), 0).astype(entries.dtype)
    effect = f"{counted(raised, 'value')} brought up, {counted(lowered, 'value')} down."
    return replace(matrix, values=clipped), effect


def divide(matrix: LabelledMatrix, *, by: float | None = None) -> Result:
    """Divide all values by one number, such as 255 for images.

    Parameters
    ----------
    matrix : LabelledMatrix
    by : float, optional
        None: the largest value.
    """
    divisor = float(matrix.values.max()) if by is None else by
    return mapped(matrix, lambda v: v / divisor), f"every value divided by {divisor:g}."


def _range(what: str, factors: Array) -> str:
    return f"{what} {factors.min():.4g} to {factors.max():.4g}."
