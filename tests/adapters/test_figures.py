"""Figures show what they were given: read back from the Figure object, never pixel by pixel."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from nmfcore.adapters import figures
from nmfcore.adapters.figures import Reproducibility, drawing, style
from nmfcore.component_tree import Branch, Origin, component_tree

COLUMNS = (
    "reconstruction_error",
    "reconstruction_error_median",
    "loss",
    "rss",
    "explained_variance",
    "svd_error",
    "held_out_error",
    "held_out_error_se",
    "cophenetic_correlation",
    "dispersion",
    "pac",
    "consensus_silhouette",
    "component_stability",
    "component_stability_min",
    "sparseness_W",
    "sparseness_H",
)


def criteria_of(ranks: list[int]) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    values = {column: rng.uniform(0.2, 0.9, len(ranks)) for column in COLUMNS}
    return pd.DataFrame({"rank": ranks, "n_runs": 10, "n_good": 9, **values})


def runs_of(ranks: list[int], seeds: int) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    rank, seed = (grid.ravel() for grid in np.meshgrid(ranks, range(seeds), indexing="ij"))
    return pd.DataFrame(
        {
            "rank": rank,
            "seed": seed,
            "status": "converged",
            "relative_error": 1 / rank + rng.uniform(0, 0.01, len(rank)),
        }
    )


def planted(n: int, n_groups: int) -> dict[str, object]:
    """Arguments of the consensus map of samples in `n_groups` groups, in mixed order."""
    labels = np.random.default_rng(3).permutation(np.arange(n) % n_groups)
    consensus = np.where(labels[:, None] == labels, 0.9, 0.1)
    consensus[np.diag_indices(n)] = 1
    tree = linkage(squareform(1 - consensus), "average") if n > 1 else np.empty((0, 4))
    return {
        "consensus": consensus,
        "linkage": tree,
        "order": leaves_list(tree) if n > 1 else np.array([0]),
        "labels": labels,
        "sample_ids": [f"sample {i}" for i in range(n)],
        "rank": n_groups,
    }


def texts(figure: Figure | Axes) -> list[str]:
    return [text.get_text() for text in figure.findobj(mpl.text.Text) if text.get_text()]


def line(axes: Axes, label: str) -> np.ndarray:
    (found,) = [drawn for drawn in axes.lines if drawn.get_label() == label]
    return found.get_xydata()


def band(axes: Axes) -> list[float]:
    return [
        patch.get_x() + patch.get_width() / 2
        for patch in axes.patches
        if patch.get_label() == "recommended rank"
    ]


# ---------------------------------------------------------------- curves


def test_the_reconstruction_curve_holds_the_criteria_and_marks_the_rank():
    criteria = criteria_of([1, 2, 3, 4])
    (axes,) = figures.reconstruction_curve(criteria, 3).axes
    for label, column in (
        ("best run", "reconstruction_error"),
        ("median run", "reconstruction_error_median"),
        ("truncated SVD (bound)", "svd_error"),
        ("held-out entries ± 1 SE", "held_out_error"),
    ):
        assert_array_equal(line(axes, label), criteria[["rank", column]])
    (bars,) = [bars for bars in axes.collections if isinstance(bars, LineCollection)]
    half = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
    assert_allclose(half, criteria["held_out_error_se"])
    assert band(axes) == [3]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "3", "4"]


def test_an_exploding_held_out_error_leaves_the_other_curves_visible():
    criteria = criteria_of([1, 2, 3])
    criteria.loc[2, "held_out_error"] = 1e6
    (axes,) = figures.reconstruction_curve(criteria).axes
    assert axes.get_ylim()[1] < 2
    assert_array_equal(line(axes, "held-out error beyond the axis")[:, 0], [3])


def test_curves_that_are_defined_nowhere_are_left_out():
    criteria = criteria_of([2, 3]).assign(svd_error=np.nan, held_out_error=np.nan)
    (axes,) = figures.reconstruction_curve(criteria).axes
    assert {drawn.get_label() for drawn in axes.lines} == {"best run", "median run"}
    assert band(axes) == []


def test_the_survey_shows_every_criterion_and_leaves_gaps_where_undefined():
    criteria = criteria_of([1, 2, 3, 4, 5])
    criteria.loc[0, "cophenetic_correlation"] = np.nan
    criteria["consensus_silhouette"] = np.nan
    survey = figures.rank_survey(criteria, 4)
    assert len(survey.axes) == 8
    drawn = [tuple(values.get_ydata()) for axes in survey.axes for values in axes.lines]
    for column in set(COLUMNS) - {
        "reconstruction_error",
        "reconstruction_error_median",
        "loss",
        "rss",
        "svd_error",
        "held_out_error_se",
        "consensus_silhouette",
    }:
        assert any(
            len(values) == 5 and np.array_equal(values, criteria[column], equal_nan=True)
            for values in drawn
        ), column
    assert all(band(axes) == [4] for axes in survey.axes)
    assert texts(survey).count("undefined") == 1


@pytest.mark.parametrize("ranks", [[1], [5], [2, 4, 16], list(range(1, 41))])
def test_any_list_of_ranks_gets_integer_ticks(ranks: list[int]):
    criteria = criteria_of(ranks)
    criteria.loc[:, list(COLUMNS[8:12])] = np.nan
    for figure in (figures.rank_survey(criteria), figures.reconstruction_curve(criteria)):
        for axes in figure.axes:
            ticks = list(axes.get_xticks())
            assert set(ticks) <= set(ranks)
            assert len(ticks) <= 12


# ---------------------------------------------------------------- runs


def test_every_run_is_a_point_and_those_that_did_not_converge_stand_out():
    runs = runs_of([1, 2, 3], 8)
    runs.loc[4, "status"] = "max_iter"
    runs.loc[20, ["status", "relative_error"]] = "non_finite", np.nan
    (axes,) = figures.error_by_seed(runs, 2).axes
    assert_allclose(
        np.sort(line(axes, "converged")[:, 1]),
        np.sort(runs.loc[runs["status"] == "converged", "relative_error"]),
    )
    assert_allclose(line(axes, "stopped at max_iter")[:, 1], runs.loc[[4], "relative_error"])
    assert_array_equal(line(axes, "non-finite (count)")[:, 0], [3])
    assert_array_equal(np.round(line(axes, "converged")[:, 0]), runs["rank"].drop([4, 20]))
    assert band(axes) == [2]


def test_a_rank_whose_runs_are_all_lost_is_still_drawn():
    runs = runs_of([1, 2], 3)
    runs.loc[runs["rank"] == 2, ["status", "relative_error"]] = "non_finite", np.nan
    (axes,) = figures.error_by_seed(runs).axes
    assert "3" in texts(axes)


def test_histories_tell_the_best_minimum_from_poorer_ones():
    falling = np.geomspace(10, 1, 30)
    traces = np.stack([falling, falling + 0.5, np.full(30, np.nan), falling])
    traces[3, 20:] = np.nan
    traces[3, 19] = 1.0005
    figure = figures.error_histories({1: traces, 2: traces[:, :7], 3: np.full((2, 4), np.nan)})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Rank 1", "Rank 2", "Rank 3"]
    (curves,) = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    segments = curves.get_segments()
    assert_allclose(
        segments[0][:, 1], np.maximum(falling - 1, 1e-6)[segments[0][:, 0].astype(int) - 1]
    )
    assert segments[3][-1, 0] == 20
    assert "2 of 4 runs ≤ 0.1 %" in texts(figure.axes[0])
    assert "no finite loss" in texts(figure.axes[2])


def test_of_many_runs_some_are_drawn():
    traces = np.geomspace(10, 1, 400) * np.ones((300, 1))
    (curves,) = figures.error_histories({2: traces}).axes[0].collections
    assert len(curves.get_segments()) == 50
    assert max(map(len, curves.get_segments())) <= 40


# ---------------------------------------------------------------- consensus


def image_of(figure: Figure) -> np.ndarray:
    (axes,) = [axes for axes in figure.axes if "sample" in axes.get_xlabel()]
    return np.asarray(axes.images[0].get_array())


def test_the_map_shows_the_consensus_in_the_order_of_the_tree():
    arguments = planted(9, 3)
    figure = figures.consensus_heatmap(**arguments, cophenetic_correlation=0.98765, n_runs=7)
    pixels = image_of(figure)
    step = len(pixels) // 9
    order = arguments["order"]
    assert_array_equal(pixels[::step, ::step], arguments["consensus"][np.ix_(order, order)])
    assert "Consensus at rank 3 · cophenetic correlation 0.988" in texts(figure)
    names = [text for text in texts(figure) if text.startswith("sample ")]
    assert names == [f"sample {i}" for i in order]


def test_the_tree_above_the_map_is_the_linkage():
    arguments = planted(7, 2)
    tree = figures.consensus_heatmap(**arguments).axes[0]
    branches = np.array(tree.collections[0].get_segments())
    assert_allclose(np.sort(branches[:, 1, 1]), np.sort(arguments["linkage"][:, 2]))
    leaves = branches[:, [0, 3]][branches[:, [0, 3], 1] == 0][:, 0]
    assert_allclose(np.unique(leaves[leaves % 1 == 0.5])[:7], np.arange(7) + 0.5)


def test_samples_without_a_cluster_come_last_in_grey():
    arguments = planted(6, 2)
    labels = np.append(arguments["labels"], -1)
    consensus = np.pad(arguments["consensus"], (0, 1))
    figure = figures.consensus_heatmap(
        **{**arguments, "labels": labels, "consensus": consensus, "sample_ids": list("abcdefg")}
    )
    strip = figure.axes[1].images[0].get_array()
    assert mpl.colors.to_hex(strip[0, -1]) == style.MISSING.lower()
    assert "unassigned" in texts(figure)
    assert [text for text in texts(figure) if text in set("abcdefg")][-1] == "g"


def test_annotations_get_strips_with_a_legend_each():
    annotations = {
        "type": ["ALL", "AML", None] * 3,
        "age": [31.5, 40, 52, 18, 77, 65, None, 12, 3],
        "site": [f"site {i}" for i in range(9)],
        "batch": ["1", "2", "10"] * 3,
    }
    figure = figures.consensus_heatmap(**planted(9, 3), annotations=annotations)
    assert len(figure.axes[1].images) == 5
    legends = {legend.get_title().get_text(): legend for legend in figure.legends}
    assert [text.get_text() for text in legends["type"].get_texts()] == ["ALL", "AML", "missing"]
    assert [text.get_text() for text in legends["batch"].get_texts()] == ["1", "2", "10"]
    assert {"age", "3", "77"} <= set(texts(figure))


def test_many_categories_are_cut_short_in_the_legend():
    site = {"site": [f"site {i:02}" for i in range(30)]}
    figure = figures.consensus_heatmap(**planted(30, 3), annotations=site)
    assert "… 21 more" in texts(figure)


def test_one_sample_and_one_rank():
    figure = figures.consensus_heatmap(**planted(1, 1))
    assert "1 sample" in texts(figure)
    assert figures.consensus_heatmap(**planted(5, 1)).axes[0].collections


def test_two_thousand_samples_stay_small_and_fast(tmp_path: Path):
    arguments = planted(2000, 4)
    started = time.process_time()
    figure = figures.consensus_heatmap(**arguments)
    svg, png = figures.save(figure, tmp_path / "map")
    assert time.process_time() - started < 5
    assert len(image_of(figure)) <= 500
    assert svg.stat().st_size < 1_000_000
    assert png.stat().st_size < 1_000_000
    assert not [text for text in texts(figure) if text.startswith("sample ")]


def test_many_samples_are_drawn_by_some_of_them_within_bounded_memory():
    n = 12_000
    groups = np.arange(n) % 4
    run_labels = np.array([groups, (groups + 1) % 4, np.where(np.arange(n) % 8 < 4, groups, 0)])
    folder = SimpleNamespace(
        criteria=pd.DataFrame({"rank": [4], "cophenetic_correlation": [0.9]}),
        consensus=lambda _: {
            "order": np.argsort(groups, kind="stable"),
            "labels": groups,
            "linkage": np.zeros((n - 1, 4)),
            "run_labels": run_labels,
            "run_seeds": np.arange(3),
        },
        matrix=SimpleNamespace(sample_ids=np.arange(n).astype(str)),
        annotations={"kind": [f"kind {g}" for g in groups]},
    )
    tracemalloc.start()
    figure = drawing.consensus_figure(folder, 4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "3,000 of 12,000 samples" in texts(figure)
    assert peak < n**2 * 8 / 2
    assert image_of(figure).max() == 1


def test_samples_spread_over_the_tree_keep_the_shares_of_clusters():
    order = np.random.default_rng(0).permutation(10_000)
    groups = np.empty(10_000, int)
    groups[order] = np.repeat([0, 1, 2], [5000, 4000, 1000])
    shown = drawing.spread_samples(order, 100)
    assert_allclose(np.bincount(groups[shown]), [50, 40, 10], atol=1)
    assert (np.diff(shown) > 0).all()
    assert_array_equal(drawing.spread_samples(order[:7], 100), np.sort(order[:7]))


def test_large_matrices_are_averaged_not_sampled():
    arguments = planted(1000, 2)
    order, consensus = arguments["order"], arguments["consensus"]
    pixels = image_of(figures.consensus_heatmap(**arguments))
    ordered = consensus[np.ix_(order, order)]
    assert_allclose(pixels, ordered.reshape(500, 2, 500, 2).mean(axis=(1, 3)))


# ---------------------------------------------------------------- components


def factors(n_features: int, rank: int, n_samples: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(4)
    names = [f"component {j + 1}" for j in range(rank)]
    W = pd.DataFrame(
        rng.gamma(0.5, size=(n_features, rank)), [f"gene {i}" for i in range(n_features)], names
    )
    H = pd.DataFrame(
        rng.gamma(0.5, size=(rank, n_samples)), names, [f"s{i}" for i in range(n_samples)]
    )
    return W, H


def test_components_show_shares_of_the_reconstruction_whatever_the_scale():
    W, H = factors(50, 3, 12)
    top = [["gene 4", "gene 7"], ["gene 7", "gene 1"], ["gene 9"]]
    scale = np.array([1.0, 1e3, 1e-3])
    for figure in (
        figures.component_heatmap(W, H, top),
        figures.component_heatmap(W * scale, H.div(scale, axis=0), top),
    ):
        left, right = (axes for axes in figure.axes if len(axes.images) and axes.texts)
        assert [text.get_text() for text in left.texts] == ["gene 4", "gene 7", "gene 1", "gene 9"]
        share = W.to_numpy()[4] * H.to_numpy().sum(axis=1)
        assert_allclose(left.images[0].get_array()[0], share / share.sum())
        assert_allclose(right.images[0].get_array().sum(axis=1), 1)


@pytest.mark.parametrize(("rank", "n_samples"), [(1, 1), (2, 100), (30, 20)])
def test_components_fit_on_a_page(rank: int, n_samples: int):
    figure = figures.component_heatmap(*factors(200, rank, n_samples))
    width, height = figure.get_size_inches() * 25.4
    assert width <= style.DOUBLE_COLUMN + 1
    assert height < 230


def test_a_sample_that_uses_nothing_is_grey_not_an_error():
    W, H = factors(20, 2, 4)
    H["s2"] = 0.0
    figure = figures.component_heatmap(W, H)
    assert np.isnan(figure.axes[1].images[0].get_array().filled(np.nan)).any(axis=1).sum() == 1


# ---------------------------------------------------------------- files


def test_saving_gives_the_same_bytes_twice_and_leaves_matplotlib_as_it_was(tmp_path: Path):
    before = dict(mpl.rcParams)
    for name in ("one", "two"):
        figures.save(figures.consensus_heatmap(**planted(12, 3)), tmp_path / f"a.{name}")
    assert (tmp_path / "a.one.svg").read_bytes() == (tmp_path / "a.two.svg").read_bytes()
    assert (tmp_path / "a.one.png").read_bytes() == (tmp_path / "a.two.png").read_bytes()
    assert dict(mpl.rcParams) == before
    assert b"<dc:date>" not in (tmp_path / "a.one.svg").read_bytes()


def test_hostile_names_are_drawn_as_they_are(tmp_path: Path):
    ids = ["$\\frac{1}{$", "<script>", "a\nb", "样本", "x" * 300, "&amp;"]
    arguments = {**planted(6, 2), "sample_ids": ids}
    figure = figures.consensus_heatmap(**arguments, annotations={"$x_1$": ["$a$", "_^"] * 3})
    figures.save(figure, tmp_path / "hostile")
    shown = set(texts(figure))
    assert {"$\\frac{1}{$", "a b", "$x_1$"} <= shown
    assert max(map(len, shown)) < 100


def test_figures_fit_the_widths_of_a_journal():
    criteria = criteria_of([1, 2, 3])
    traces = {k: np.geomspace(10, 1, 30)[None] for k in (1, 2, 3, 4, 5)}
    for figure, width in (
        (figures.reconstruction_curve(criteria), style.SINGLE_COLUMN),
        (figures.error_by_seed(runs_of([1, 2], 4)), style.SINGLE_COLUMN),
        (figures.rank_survey(criteria), style.DOUBLE_COLUMN),
        (figures.error_histories(traces), style.DOUBLE_COLUMN),
    ):
        assert figure.get_size_inches()[0] * 25.4 == pytest.approx(width)
    names = [f"sample_with_a_long_name_{i}" for i in range(60)]
    wide = figures.consensus_heatmap(**{**planted(60, 3), "sample_ids": names})
    assert wide.get_size_inches()[0] * 25.4 <= style.DOUBLE_COLUMN
    shares = {rank: [1 / rank] * rank for rank in range(1, 31)}
    parts = {rank: [Reproducibility(1.0, 1.0, 1.0)] * rank for rank in shares}
    for large in (
        figures.component_tree_figure(shares, shares, []),
        figures.component_stability(parts),
    ):
        inches = large.get_size_inches()
        assert inches[0] * 25.4 <= style.DOUBLE_COLUMN
        assert inches[1] * 25.4 <= 240


def test_pyplot_is_never_loaded():
    code = "import sys, nmfcore.adapters.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------- intervals and null


def test_intervals_are_bands_around_the_curves():
    criteria = criteria_of([1, 2, 3])
    criteria["pac_low"], criteria["pac_high"] = criteria["pac"] - 0.1, criteria["pac"] + 0.2
    panels = figures.rank_survey(criteria).axes
    (pac,) = [axes for axes in panels if "PAC" in axes.get_title(loc="left")]
    (interval,) = pac.collections
    assert {tuple(corner) for corner in interval.get_paths()[0].vertices} == {
        *zip(criteria["rank"], criteria["pac_low"], strict=True),
        *zip(criteria["rank"], criteria["pac_high"], strict=True),
    }


def test_permuted_copies_are_drawn_beside_the_fits():
    criteria, null = criteria_of([1, 2]), {1: np.array([0.8, 0.9, 0.7]), 2: np.array([0.6, 0.6])}
    (axes,) = figures.reconstruction_curve(criteria, None, null).axes
    assert_array_equal(line(axes, "permuted copies"), [[1, 0.8], [2, 0.6]])
    panels = figures.rank_survey(criteria, None, null).axes
    (variance,) = [axes for axes in panels if axes.get_title(loc="left") == "Explained variance"]
    assert_allclose(line(variance, "permuted copies"), [[1, 0.36], [2, 0.64]])
    shown = {line.get_label() for axes in panels if axes is not variance for line in axes.lines}
    assert "permuted copies" not in shown


def test_silhouettes_stand_above_their_samples():
    arguments = planted(12, 3)
    widths = np.linspace(-0.5, 0.63, 12)
    figure = figures.consensus_heatmap(**arguments, silhouettes=widths)
    (axes,) = [axes for axes in figure.axes if "silhouette" in texts(axes)]
    areas = [path for area in axes.collections for path in area.get_paths()]

    def reaches(place: float, height: float) -> bool:
        return any(path.contains_point((place, height)) for path in areas)

    for sample, width in enumerate(widths[arguments["order"]]):
        assert reaches(sample + 0.5, 0.99 * width)
        assert not reaches(sample + 0.5, 1.01 * width)
        assert not reaches(sample + 0.5, -0.01 * width)


def test_silhouettes_of_many_samples_are_means_of_neighbours():
    arguments = planted(5000, 3)
    widths = np.full(5000, 0.25)
    widths[arguments["order"][:2500]] = 0.75
    figure = figures.consensus_heatmap(**arguments, silhouettes=widths)
    (axes,) = [axes for axes in figure.axes if "silhouette" in texts(axes)]
    areas = [path for area in axes.collections for path in area.get_paths()]
    assert len(areas) < 10
    for place, height in ((1000, 0.75), (4000, 0.25)):
        assert any(path.contains_point((place, 0.99 * height)) for path in areas)
        assert not any(path.contains_point((place, 1.01 * height)) for path in areas)


# ---------------------------------------------------------------- components across ranks


def tree_axes(figure: Figure) -> Axes:
    return max(figure.axes, key=lambda axes: len(axes.lines))


def test_the_tree_joins_each_component_to_its_parents():
    W = np.repeat(np.eye(3), 4, axis=0)
    bases = {
        1: W.sum(axis=1, keepdims=True),
        2: np.column_stack([W[:, 0] + W[:, 1], W[:, 2]]),
        3: W,
    }
    shares = {rank: [1 / rank] * rank for rank in bases}
    figure = figures.component_tree_figure(shares, shares, component_tree(bases), 2)
    axes = tree_axes(figure)
    ends = sorted((line.get_xdata()[0], line.get_xdata()[-1]) for line in axes.lines)
    assert ends == [(0, 1)] * 2 + [(1, 2)] * 3
    colours = [line.get_color() for line in axes.lines]
    # Two parts of one, then the first of them in two and the other as it was.
    assert colours.count(style.HELD_OUT) == 4
    assert colours.count(style.BEST) == 1
    assert band(axes) == [1]
    assert [text for text in texts(axes) if text in "123"].count("1") >= 3


def test_the_tree_is_drawn_without_crossings_where_there_need_be_none():
    # Components are numbered by size, so the numbers of parents and children seldom agree.
    branches = [
        Branch(2, 0, Origin.SPLIT, (0,), 0.7),
        Branch(2, 1, Origin.SPLIT, (0,), 0.7),
        Branch(3, 0, Origin.KEPT, (1,), 1.0),
        Branch(3, 1, Origin.SPLIT, (0,), 0.7),
        Branch(3, 2, Origin.SPLIT, (0,), 0.7),
    ]
    shares = {rank: [1 / rank] * rank for rank in (1, 2, 3)}
    axes = tree_axes(figures.component_tree_figure(shares, shares, branches))
    last = [line.get_ydata()[[0, -1]] for line in axes.lines if line.get_xdata()[-1] == 2]
    starts, ends = np.array(sorted(last, key=lambda pair: pair[1])).T
    assert (np.diff(starts) >= 0).all()
    assert len(set(ends)) == 3


def test_a_component_without_parents_has_no_line():
    branches = [Branch(2, 0, Origin.KEPT, (0,), 1.0), Branch(2, 1, Origin.NEW, (), 0.1)]
    shares = {1: [1.0], 2: [0.9, 0.1]}
    axes = tree_axes(figures.component_tree_figure(shares, shares, branches))
    assert len(axes.lines) == 1


def test_reproducibility_is_drawn_for_every_component_with_its_interval():
    parts = {
        1: [Reproducibility(None, 1.0, 0.9, (0.8, 1.0), (0.6, 1.0))],
        2: [
            Reproducibility(0.9, 1.0, 0.8, (0.8, 1.0), (0.5, 0.9)),
            Reproducibility(-0.9, 0.4, 0.1, (0.2, 0.6), (0.0, 0.3)),
        ],
    }
    stability, support, replication = figures.component_stability(parts, 2).axes
    assert_array_equal(replication.lines[1].get_ydata(), [0.9])
    assert_array_equal(replication.lines[3].get_ydata(), [0.8, 0.1])
    bars = [bar.get_segments()[0][:, 1].tolist() for bar in support.collections]
    assert bars == [[0.8, 1.0], [0.8, 1.0], [0.2, 0.6]]
    # Far below the axis: a mark at its edge, not a point outside.
    assert stability.get_ylim()[0] < min(
        min(drawn.get_ydata(), default=0) for drawn in stability.lines
    )


def test_what_is_known_of_no_component_has_no_panel():
    parts = {2: [Reproducibility(0.9, 1.0, None, (0.8, 1.0))] * 2}
    titles = [axes.get_title(loc="left") for axes in figures.component_stability(parts).axes]
    assert [title.split(":")[0] for title in titles] == ["Stability", "Runs"]


def test_the_place_of_a_rank_can_be_found_in_the_file(tmp_path: Path):
    svg, _ = figures.save(figures.reconstruction_curve(criteria_of([1, 2, 4])), tmp_path / "curve")
    for rank in (1, 2, 4):
        assert f'id="rank-{rank}-curve"' in svg.read_text()
