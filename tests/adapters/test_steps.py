"""Preparation in steps: what each does, against an independent computation; what is refused."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import normalize
from test_preparation import labelled

from nmfcore.adapters.config import load_config
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.preparation import prepare
from nmfcore.adapters.steps import STEPS, apply_steps, completed
from nmfcore.errors import ConfigError, InputError

V = np.random.default_rng(2).poisson(1.5, (12, 8)).astype(float)
V[3] = 0
V[:, 5] = [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
V[7] = 2  # the same everywhere
SEEN = np.random.default_rng(3).random(V.shape) < 0.8


def dense(matrix: LabelledMatrix) -> np.ndarray:
    return matrix.values.toarray() if matrix.is_sparse else matrix.values


def done(*steps: Any, values: Any = V, observed: np.ndarray | None = None) -> LabelledMatrix:
    return apply_steps(labelled(values, observed), completed(steps))[0]


def step(name: str, **parameters: Any) -> dict[str, Any]:
    return {"step": name, **parameters}


def size_factors() -> np.ndarray:
    rows = V[(V > 0).all(axis=1)]
    geometric = np.array([np.prod(row) ** (1 / len(row)) for row in rows])
    factors = np.array([np.median(rows[:, j] / geometric) for j in range(V.shape[1])])
    return V / (factors / np.prod(factors) ** (1 / len(factors)))


WITH_ALL_POSITIVE_ROWS = step("size_factors")
EXPECTED: list[tuple[dict[str, Any], np.ndarray]] = [
    (step("drop_rare_features", min_samples=6), V[[sum(v > 0 for v in row) >= 6 for row in V]]),
    (step("drop_low_features", min_total=10), V[[sum(row) >= 10 for row in V]]),
    (step("drop_low_features", min_mean=1.4), V[[sum(row) / 8 >= 1.4 for row in V]]),
    (step("drop_low_features", min_variance=1.0), V[[np.var(row) >= 1 for row in V]]),
    (step("drop_low_samples", min_total=15), V[:, [sum(c) >= 15 for c in V.T]]),
    (step("drop_low_samples", min_features=3), V[:, [sum(c > 0) >= 3 for c in V.T]]),
    (step("sample_totals"), V / V.sum(0) * np.median(V.sum(0))),
    (step("sample_totals", total=1e6), V / V.sum(0) * 1e6),
    (step("size_factors"), size_factors()),
    (step("tf_idf"), TfidfTransformer(norm=None).fit_transform(V.T).toarray().T),
    (
        step("tf_idf", sublinear=True),
        TfidfTransformer(norm=None, sublinear_tf=True).fit_transform(V.T).toarray().T,
    ),
    *(
        (step("normalize", norm=norm, of=of), normalize(V, norm, axis=axis))
        for norm in ("l1", "l2", "max")
        for of, axis in (("samples", 0), ("features", 1))
    ),
    (step("scale_variance"), np.array([row / (np.std(row) or 1) for row in V])),
    (step("log1p"), np.log(V + 1)),
    (step("power", exponent=0.5), np.sqrt(V)),
    (step("clip", upper=2), np.minimum(V, 2)),
    (step("divide", by=255), V / 255),
    (step("divide"), V / V.max()),
]


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(("given", "expected"), EXPECTED, ids=[str(e[0]) for e in EXPECTED])
def test_a_step_does_what_it_says(kind: Any, given: dict[str, Any], expected: np.ndarray) -> None:
    values = kind(V)
    result = done(given, values=values)
    np.testing.assert_allclose(dense(result), expected, rtol=1e-12)
    assert result.is_sparse == sparse.issparse(values)
    np.testing.assert_array_equal(dense(labelled(values)), V)  # the input is as it was


@pytest.mark.parametrize("by", ["fano", "variance"])
def test_the_most_variable_features_are_kept_in_their_order(by: str) -> None:
    score = V.var(axis=1) / (1 if by == "variance" else np.maximum(V.mean(axis=1), 1e-300))
    kept = done(step("keep_variable_features", number=4, by=by))
    assert kept.feature_ids.tolist() == [f"g{i}" for i in sorted(np.argsort(-score)[:4])]


def test_every_step_has_a_case() -> None:
    tried = {given["step"] for given, _ in EXPECTED} | {"keep_variable_features", "tpm"}
    assert tried == set(STEPS)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("given", [e[0] for e in EXPECTED if "size" not in e[0]["step"]], ids=str)
def test_hidden_cells_influence_nothing(kind: Any, given: dict[str, Any]) -> None:
    hidden = np.where(SEEN, V, 0)
    result = done(given, values=kind(hidden), observed=SEEN)
    assert result.observed is not None
    assert not dense(result)[~result.observed].any()
    if given["step"] in ("scale_variance",):
        expected = [row / (np.std(row[seen]) or 1) for row, seen in zip(hidden, SEEN, strict=True)]
        np.testing.assert_allclose(dense(result), expected, rtol=1e-12)


def test_clip_raises_visible_cells_only() -> None:
    result = done(step("clip", lower=0.5), values=np.where(SEEN, V, 0), observed=SEEN)
    np.testing.assert_array_equal(result.values, np.where(SEEN, np.maximum(V, 0.5), 0))
    with pytest.raises(InputError, match=r"clip: lower 0\.5.*sparse"):
        done(step("clip", lower=0.5), values=sparse.csr_array(V))


def test_tpm_divides_by_lengths(tmp_path: Any) -> None:
    lengths = np.arange(1, 13) * 100.0
    lines = ["gene\tlength", *(f"g{i}\t{n}\tnote" for i, n in enumerate(lengths)), "other\t5"]
    (tmp_path / "lengths.tsv").write_text("\n".join(lines))
    rates = V / lengths[:, None]
    result = done(step("tpm", lengths=str(tmp_path / "lengths.tsv")))
    np.testing.assert_allclose(result.values, rates / rates.sum(0) * 1e6)
    for content, words in (
        ("g0\t5\n", "no length of 11 features \\(g1, g2, g3"),
        ("g0\t5\ng1\tlong\n", "line 2: 'g1.*an id, a tab and a length"),
        ("\n".join(f"g{i}\t{i}" for i in range(12)), "length of 'g0' is not above 0"),
    ):
        (tmp_path / "lengths.tsv").write_text(content)
        with pytest.raises(InputError, match=words):
            done(step("tpm", lengths=str(tmp_path / "lengths.tsv")))


def test_steps_run_in_order_and_tell_what_they_did() -> None:
    steps = completed([step("drop_rare_features", min_samples=1), "log1p"])
    prepared = prepare(labelled(V), steps)
    np.testing.assert_allclose(prepared.matrix.values, np.log1p(np.delete(V, 3, axis=0)))
    assert prepared.dropped_features == []  # what a step left out does not come back
    assert prepared.steps == [
        {
            "name": "drop_rare_features",
            "parameters": {"min_samples": 1},
            "effect": "1 feature of 12 left out.",
            "n_features": 11,
            "n_samples": 8,
        },
        {
            "name": "log1p",
            "parameters": {},
            "effect": "every value v replaced by ln(1 + v).",
            "n_features": 11,
            "n_samples": 8,
        },
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("log2p", "step 1: 'log2p' is not known; did you mean 'log1p'"),
        (step("normalise"), "did you mean 'normalize'"),
        (step("log1p", base=2), r"\(log1p\): unknown parameter 'base'; known are none"),
        (step("normalize", normal="l1"), "unknown parameter 'normal'; did you mean 'norm'"),
        (step("normalize", norm="l3"), "norm is 'l3'; choose l1, l2, max"),
        (step("power", exponent=0), "exponent is 0; give a number above 0"),
        (step("power", exponent="half"), "exponent is 'half'; give a number"),
        (step("power", exponent=True), "exponent is True; give a number"),
        (step("divide", by=-1), "give a number above 0"),
        (step("clip"), "give lower, upper or both"),
        (step("clip", lower=3, upper=2), "lower 3 exceeds upper 2"),
        (step("keep_variable_features", number=1), "give a number from 2"),
        ("tpm", r"\(tpm\): lengths must be given"),
    ],
)
def test_a_wrong_step_is_refused_before_anything_runs(given: Any, words: str) -> None:
    config = {"name": "x", "input": {"path": "a.tsv"}, "prepare": [given]}
    with pytest.raises(ConfigError, match=words):
        load_config(config, REPOSITORY / "workflow/schemas/config.schema.yaml")


def test_what_is_no_step_is_refused() -> None:
    config = {"name": "x", "input": {"path": "a.tsv"}, "prepare": [{"log1p": {}}]}
    with pytest.raises(ConfigError, match=r"prepare\.0.*step must be given"):
        load_config(config, REPOSITORY / "workflow/schemas/config.schema.yaml")


def test_a_step_that_leaves_too_little_or_overflows_is_named() -> None:
    with pytest.raises(InputError, match=r"step 2 \(drop_low_features\) leaves 0 features"):
        done("log1p", step("drop_low_features", min_total=1e9))
    with pytest.raises(InputError, match=r"step 1 \(power\) makes 96 values.*not finite"):
        done(step("power", exponent=9), values=np.full((12, 8), 1e200))
    with pytest.raises(InputError, match="no feature is above 0 in every sample"):
        done("size_factors", values=np.eye(3))


def test_the_documentation_lists_every_step_and_parameter() -> None:
    text = (REPOSITORY / "config/README.md").read_text("utf-8")
    section = text.split("\n## `prepare`")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| [\w, ]+ \| `(\w+)` \| ([^|]*) \|", section, re.MULTILINE))
    assert set(rows) == set(STEPS)
    for name, parameters in rows.items():
        known = [
            p.name
            for p in inspect.signature(STEPS[name]).parameters.values()
            if p.kind is p.KEYWORD_ONLY
        ]
        assert re.findall(r"`(\w+)(?:: [^`]*)?`", parameters) == known
