"""The report: one page, complete, safe, small, and the same for the same results."""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Callable
from dataclasses import fields
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from nmfcore.adapters import figures, report, settings, store
from nmfcore.adapters.config import load_config
from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.report.numbers import number
from nmfcore.criteria import Criteria
from nmfcore.runs import Runs

SCHEMA = Path(__file__).parents[2] / "workflow/schemas/config.schema.yaml"
DRAWINGS = ("rank_survey", "reconstruction_curve", "component_tree", "component_stability")
N_FEATURES, N_SEEDS = 30, 6
CROSS_VALIDATION = {"folds": 5, "fraction": 0.1, "starts": 2}
HOSTILE = ['<script>alert("x")</script>', "a'b\"c & d", "Ωμέγα 样本", "$x^2$", "007", "NA"]


def build(
    root: Path,
    ranks: tuple[int, ...] = (1, 2, 3),
    n_samples: int = 12,
    recommended: int | None = 2,
    sample_ids: list[str] | None = None,
    loss: str | float = "frobenius",
    cross_validation: dict[str, Any] | None = CROSS_VALIDATION,
    **changes: dict[str, Any],
) -> store.SweepFolder:
    """Write a small finished sweep; `changes` replace parts of a JSON file, by its name."""
    rng = np.random.default_rng(0)
    samples = np.array(sample_ids or [f"sample {i}" for i in range(n_samples)])
    features = np.array([*HOSTILE, *(f"gene {i}" for i in range(N_FEATURES - len(HOSTILE)))])
    settings = {
        "name": root.name,
        "input": {"path": "data/V.tsv", "annotations": None},
        "ranks": list(ranks),
        "seeds": N_SEEDS,
        "root_seed": 42,
        "factorize": {"loss": loss, "max_iter": 200, "tol": 1e-5},
        "validate": {"cross_validation": cross_validation},
    }
    provenance = {
        "input_sha256": "1" * 64,
        "settings_sha256": "2" * 64,
        "settings": settings,
        "code": "3" * 16,
    }

    def document(place: str, content: dict[str, Any]) -> None:
        content = content | changes.get(Path(place).stem, {})
        store.write_json(root / place, {**content, "provenance": provenance})

    matrix = LabelledMatrix(rng.random((N_FEATURES, len(samples))), features, samples)
    store.write_matrix(root / "prepared/matrix.npz", matrix, provenance)
    document(
        "prepared/matrix.json",
        {
            "sha256": "1" * 64,
            "shape": list(matrix.shape),
            "storage": "dense",
            "dtype": "float64",
            "density": 1.0,
            "n_missing": 0,
            "source": {
                "path": "data/V.tsv",
                "sha256": "4" * 64,
                "format": "tsv",
                "orientation": "features_by_samples",
                "shape": [N_FEATURES, len(samples)],
            },
            "dropped_features": [
                {"id": f"{HOSTILE[0]} {i}", "position": i, "reason": "all zero"} for i in range(30)
            ],
            "dropped_samples": [],
            "warnings": [],
            "notices": ["read as text"],
            "steps": [],
        },
    )
    columns = {"group": ["p", "q"] * (len(samples) // 2), "age": [*range(len(samples))]}
    document("prepared/annotations.json", {"columns": columns, "source": None})
    lines = [_rank(root, rank, len(samples), loss, provenance) for rank in ranks]
    store.write_table(
        root / "selection/criteria.tsv", list(lines[0]), [list(line.values()) for line in lines]
    )
    document(
        "selection/recommendation.json",
        {
            "ranks": list(ranks),
            "recommended_rank": recommended,
            "chosen_rank": recommended,
            "decision": "rank" if recommended else "no_structure",
            "headline": "The headline of the answer.",
            "confidence": "high",
            "reasons": ["The first reason."],
            "runners_up": [{"rank": 3, "reason": "it is close"}],
            "warnings": ["Three more folds could change this."],
            "classic_rules": {"cophenetic_first_fall": 2, "rss_inflection": None},
        },
    )
    _solution(root, recommended, features, samples, document)
    for rank in ranks:
        place = f"ranks/rank-{rank}"
        null = [5.5 / rank, 5.6 / rank] if loss == "frobenius" else None
        fits = {"solver": "HALS, extrapolated; dense", "code": provenance["code"]}
        document(f"{place}/summary.json", {"rank": rank, "null_losses": null, "runs": fits})
        _solution(root, rank, features, samples, document, f"{place}/solution")
        arrays = {"W": _planted(len(features), rank), "components": np.array(["component_1"])}
        store.write_npz(root / place / "solution/solution.npz", arrays, provenance)
    return store.SweepFolder(root)


def _rank(
    root: Path, rank: int, n: int, loss: str | float, provenance: dict[str, Any]
) -> dict[str, float | None]:
    rng = np.random.default_rng(rank)
    runs = Runs(
        rank=rank,
        seeds=np.arange(N_SEEDS),
        W=rng.random((N_SEEDS, 2, rank)),
        H=rng.random((N_SEEDS, rank, 2)),
        loss=np.full(N_SEEDS, 5.0 / rank),
        relative_error=np.full(N_SEEDS, 0.5 / rank),
        kkt_residual=np.zeros(N_SEEDS),
        n_iter=np.full(N_SEEDS, 9),
        status=np.array(["converged"] * (N_SEEDS - 1) + ["max_iter"]),
        trace=np.geomspace(9, 5 / rank, 9) * np.ones((N_SEEDS, 1)),
        seconds=rng.random(N_SEEDS),
        loss_name=str(loss),
        solver="HALS, extrapolated; dense",
    )
    batch = root / f"runs/rank-{rank}/seeds-0-{N_SEEDS - 1}.npz"
    store.write_runs(batch, batch.with_suffix(".tsv"), runs, provenance)
    labels = np.arange(n) % rank
    consensus = np.where(labels[:, None] == labels, 1.0, 0.2)
    tree = linkage(squareform(1 - consensus), "average")
    arrays = {
        "consensus": consensus,
        "labels": labels,
        "order": leaves_list(tree),
        "linkage": tree,
        "run_labels": np.tile(labels, (N_SEEDS - 1, 1)),
        "run_seeds": np.arange(N_SEEDS - 1),
        "trace": runs.trace,
    }
    store.write_npz(root / f"ranks/rank-{rank}/consensus.npz", arrays, provenance)
    undefined = None if rank == 1 else 0.95
    return {
        "rank": rank,
        "n_runs": N_SEEDS,
        "n_good": N_SEEDS - 1,
        "reconstruction_error": 0.5 / rank,
        "reconstruction_error_median": 0.5 / rank,
        "loss": 5.0e9 / rank,
        "rss": 1.0e10 / rank if loss == "frobenius" else None,
        "explained_variance": 1 - 0.25 / rank**2 if loss == "frobenius" else None,
        "svd_error": 0.49 / rank,
        "held_out_error": 0.4 + abs(rank - 2) / 10,
        "held_out_error_se": 0.01,
        "cophenetic_correlation": undefined,
        "dispersion": undefined,
        "pac": undefined,
        "consensus_silhouette": undefined,
        "component_stability": undefined,
        "component_stability_min": undefined,
        "sparseness_W": 0.5,
        "sparseness_H": 0.25,
        "held_out_cost": 0.02,
        "bi_cross_validation_error": 0.5,
        "bi_cross_validation_error_se": 0.1,
        "residual_excess": 0.9,
        "best_run_reproduced": 0.8,
        "amari_instability": 0.1,
        "feature_cophenetic_correlation": 0.9,
        "feature_dispersion": 0.8,
        "feature_pac": 0.1,
    }


def _solution(
    root: Path,
    rank: int | None,
    features: np.ndarray,
    samples: np.ndarray,
    document: Callable[[str, dict[str, Any]], None],
    place: str = "solution",
) -> None:
    if rank is None:
        document(f"{place}/solution.json", {"rank": None, "reason": "Nothing repeats."})
        return
    rng = np.random.default_rng(9)
    names = [f"component-{j + 1}" for j in range(rank)]
    W, H = rng.random((len(features), rank)), rng.random((rank, len(samples)))
    store.write_table(
        root / place / "W.tsv",
        ["feature", *names],
        [[name, *map(float, row)] for name, row in zip(features, W, strict=True)],
    )
    store.write_table(
        root / place / "H.tsv",
        ["component", *samples],
        [[name, *map(float, row)] for name, row in zip(names, H, strict=True)],
    )
    document(
        f"{place}/solution.json",
        {
            "rank": rank,
            "loss": 2.5,
            "relative_error": 0.25,
            "best_run_loss": 2.5,
            "best_run_seed": 3,
            "n_runs_used": N_SEEDS - 1,
            "comparison": "It is the same optimum.",
            "components": [
                {
                    "name": name,
                    "support": 1.0 if j < 2 else 0.5,
                    "support_interval": [0.6, 1.0],
                    "run_support": 1.0 if j < 2 else 0.5,
                    "run_support_interval": [0.6, 1.0],
                    "replication": 0.75 if j == 0 else 0.25,
                    "replication_interval": [0.1, 0.9],
                    "stability": 0.9 if rank > 1 else None,
                    "share": 1 / rank,
                    "sparseness": 0.5,
                    "top_features": [{"id": str(i), "weight": 0.5} for i in features[:12]],
                }
                for j, name in enumerate(names)
            ],
            "assignments": [
                {"sample": str(sample), "component": names[i % rank]}
                for i, sample in enumerate(samples)
            ],
        },
    )


def _planted(n_features: int, rank: int) -> np.ndarray:
    """Disjoint blocks of features: from one rank to the next, one block is cut in two."""
    edges = [0, *(n_features - n_features // 2**j for j in range(1, rank)), n_features]
    W = np.zeros((n_features, rank))
    for j, (first, last) in enumerate(pairwise(edges)):
        W[first:last, j] = 1.0
    return W


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


_STAND_IN = b"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">
<metadata>made in 1999</metadata><defs><style>* {}</style><path id="glyph"/></defs><use xlink:href="#glyph"/>
<g id="rank-2-a"><path/></g><g id="other"/></svg>"""


def stand_in_figures(folder: store.SweepFolder, svg_bytes: int = 100) -> None:
    """Write figures that are none, in no time; a PNG's size stands in its first bytes."""
    for name in figures.figure_names(folder.ranks):
        path = folder.root / f"figures/{name}"
        store.write_bytes(path.with_suffix(".svg"), _STAND_IN.ljust(svg_bytes))
        store.write_bytes(path.with_suffix(".png"), b"p" * 16 + struct.pack(">II", 1800, 900))


def rendered(root: Path, **parts: Any) -> Page:
    folder = build(root, **parts)
    stand_in_figures(folder)
    return Page(report.render_report(folder, root / "figures"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    root = tmp_path_factory.mktemp("results") / "tiny"
    return rendered(root, sample_ids=HOSTILE)


# ---------------------------------------------------------------- figures of a folder


def test_every_figure_is_drawn_under_a_stable_name(tmp_path: Path):
    folder = build(tmp_path / "tiny")
    written = figures.draw_all(folder)
    names = figures.figure_names([1, 2, 3])
    assert names[:7] == [
        "reconstruction_curve",
        "rank_survey",
        "error_by_seed",
        "error_histories",
        "components",
        "component_tree",
        "component_stability",
    ]
    assert names[7:] == ["consensus-rank-1", "consensus-rank-2", "consensus-rank-3"]
    expected = {
        folder.root / f"figures/{name}{suffix}" for name in names for suffix in (".svg", ".png")
    }
    assert set(written) == expected == set((folder.root / "figures").iterdir())


def test_processes_draw_the_same_bytes(tmp_path: Path):
    folder = build(tmp_path / "tiny")
    alone = {path.name: path.read_bytes() for path in figures.draw_all(folder)}
    for path in (folder.root / "figures").iterdir():
        path.unlink()
    together = {path.name: path.read_bytes() for path in figures.draw_all(folder, processes=3)}
    assert together == alone


def test_some_figures_can_be_drawn_alone(tmp_path: Path):
    written = figures.draw_all(build(tmp_path / "tiny"), ["consensus-rank-2"])
    assert [path.name for path in written] == ["consensus-rank-2.svg", "consensus-rank-2.png"]


# ---------------------------------------------------------------- the page


def test_the_answer_comes_first_and_evidence_after(page: Page):
    order = [
        "The headline of the answer.",
        "Confidence: high",
        "The first reason.",
        "Rank 3:",
        "Three more folds could change this.",
        "Criteria by rank",
        "Consensus by rank",
        "Components by rank",
        "Components across ranks",
        "Sample assignments",
        "Quality of the runs",
        "What was done to the data",
        "Methods, ready to paste",
        "@article{LeeSeung1999",
        "validate.cross_validation.folds",
        "1" * 64,
        "snakemake --cores 8 --configfile tiny.yaml",
    ]
    places = [page.text.index(words) for words in order]
    assert places == sorted(places)


def test_every_criterion_and_its_meaning_is_there(page: Page):
    for criterion in report.CRITERIA:
        assert page.text.count(criterion.label) >= 2
        assert criterion.meaning in page.text
    columns = {field.name for field in fields(Criteria)}
    counts = {"rank", "n_runs", "n_good", "n_non_finite", "n_fold_rounds", "n_sampled"}
    series = {"fold_errors", "null_losses"}
    bounds = {name for name in columns if name.endswith(("_low", "_high"))}
    assert {criterion.key for criterion in report.CRITERIA} == columns - counts - series - bounds


def test_runs_are_counted_by_how_they_ended(page: Page):
    assert page.text.count("6 5 1 0 9 ") == 3


def test_ids_cannot_become_markup(page: Page):
    assert page.all("script") == [{}]  # ours
    for name in HOSTILE:
        assert name in page.text


def test_nothing_is_loaded_from_elsewhere(page: Page):
    sources = [
        a["src"]
        for a in page.all("img", "script", "iframe", "video", "audio", "source")
        if "src" in a
    ]
    assert sources
    assert all(source is not None and source.startswith("data:image/") for source in sources)
    assert not page.all("link", "object", "embed", "base")
    assert all((a["href"] or "").startswith("#") for a in page.all("a"))
    css = "".join(page.words)
    assert "--page:" in css
    assert "url(" not in css
    assert "@import" not in css


def test_the_page_is_accessible(page: Page):
    assert page.all("html") == [{"lang": "en"}]
    images = page.all("img")
    assert len(images) == 3 + 3
    drawings = page.all("svg")
    assert len(drawings) == 4
    assert all(d["role"] == "img" and len(d["aria-label"] or "") > 40 for d in drawings)
    assert all(
        len(image["alt"] or "") > 40 and image["width"] and image["height"] for image in images
    )
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(a.get("scope") in {"row", "col"} for a in page.all("th"))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {(a["href"] or "")[1:] for a in page.all("a")} <= set(ids)
    assert {a["for"] for a in page.all("label")} == {a["id"] for a in page.all("input")}


def test_ranks_can_be_pointed_at_in_drawings_and_tables(page: Page):
    zones = [a for a in page.all("g") if a.get("class") == "zone"]
    assert [zone["data-rank"] for zone in zones] == ["2"] * 4
    assert {a["data-rank"] for a in page.all("td", "th", "label") if "data-rank" in a} == {
        "1",
        "2",
        "3",
    }
    panels = {a["class"] for a in page.all("div") if (a.get("class") or "").startswith("panel ")}
    assert panels == {f"panel panel-{rank}" for rank in (1, 2, 3)}


def test_drawings_share_a_page_without_sharing_ids(page: Page):
    glyphs = [a["id"] for a in page.all("path") if "id" in a]
    assert glyphs == [f"{name}-glyph" for name in DRAWINGS]
    assert [a["xlink:href"] for a in page.all("use")] == [f"#{glyph}" for glyph in glyphs]
    assert "made in 1999" not in page.text


def test_the_script_is_the_only_one_that_may_run(tmp_path: Path):
    folder = build(tmp_path / "tiny")
    stand_in_figures(folder)
    html = report.render_report(folder, folder.root / "figures")
    script = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)[0]
    allowed = re.findall(r"script-src 'sha256-([^']+)'", html)[0]
    assert base64.b64decode(allowed) == hashlib.sha256(script.encode()).digest()


def test_every_rank_has_its_components_with_where_they_come_from(page: Page):
    for words in ("split off component_1 of rank 1", "component_1 of rank 2"):
        assert words in page.text
    assert page.text.count("75 % 10 % – 90 %") == 3  # replication of the first component
    assert "Only 50 % of the runs find it." in page.text
    assert "only in 25 % of the splits do both halves" in page.text


def test_the_settings_of_the_page_make_the_same_sweep_again(finished_sweep: Path):
    html = (finished_sweep / "report.html").read_text(encoding="utf-8")
    text = re.findall(r'aria-label="Settings as YAML"><code>(.*?)</code>', html, re.DOTALL)[0]
    again = load_config(yaml.safe_load(unescape(text)), SCHEMA)
    made = store.SweepFolder(finished_sweep).settings
    assert settings.sweep_settings(again) == made


def test_the_recommended_rank_is_picked_first(page: Page):
    checked = [a["id"] for a in page.all("input") if "checked" in a]
    assert checked == ["pick-2"]


def test_dropped_rows_are_cut_short_with_a_pointer(page: Page):
    assert "Dropped features: 30" in page.text
    assert "The other 10 are in prepared/matrix.json" in page.text


def test_known_groups_are_counted_by_component(page: Page):
    assert "component-1 3 0 component-2 0 3" in page.text


def test_the_same_results_give_the_same_bytes(tmp_path: Path):
    pages = []
    for place in ("a", "b"):
        folder = build(tmp_path / place / "tiny", ranks=(1, 2))
        figures.draw_all(folder)
        assert report.write_report(folder) == folder.root / "report.html"
        pages.append((folder.root / "report.html").read_bytes())
    assert pages[0] == pages[1]


def test_a_declination_is_said_plainly(tmp_path: Path):
    page = rendered(tmp_path / "tiny", recommended=None)
    assert "no rank" in page.text
    assert "No rank was recommended, so no solution was made. Nothing repeats." in page.text
    assert "These criteria supported no rank." in page.text
    assert "None" not in page.text.replace("None: the values were used as they are.", "")


def test_one_rank_only(tmp_path: Path):
    page = rendered(tmp_path / "tiny", ranks=(1,), recommended=1)
    assert "nan" not in page.text
    assert "Consensus silhouette" not in page.text


def test_other_losses_leave_out_what_is_undefined_for_them(tmp_path: Path):
    page = rendered(tmp_path / "tiny", loss="kullback-leibler")
    assert "Explained variance" not in page.text
    assert "the Kullback–Leibler divergence (Févotte and Idier 2011)" in page.text


def test_a_loss_that_is_a_number_is_named_by_it(tmp_path: Path):
    page = rendered(tmp_path / "tiny", loss=0.5)
    assert "the β-divergence with β = 0.5 (Févotte and Idier 2011)" in page.text


def test_without_cross_validation_none_is_described(tmp_path: Path):
    page = rendered(tmp_path / "tiny", cross_validation=None)
    assert "Wold 1978" not in page.text
    assert "validate.cross_validation null" in page.text


def test_without_annotations_or_notices(tmp_path: Path):
    page = rendered(
        tmp_path / "tiny",
        annotations={"columns": {}},
        matrix={
            "notices": [],
            "dropped_features": [],
            "warnings": ["One value is far from all others."],
            "steps": [{"name": "log1p", "parameters": {"base": 2}, "effect": "compressed"}],
        },
    )
    assert "Components against" not in page.text
    assert "One value is far from all others." in page.text
    assert "log1p (base = 2): compressed" in page.text


def test_dropped_samples_are_listed_without_what_is_known_of_others(tmp_path: Path):
    assignments = [{"sample": "dropped", "component": None}]
    assignments += [{"sample": f"sample {i}", "component": "component-1"} for i in range(4)]
    page = rendered(tmp_path / "tiny", n_samples=4, solution={"assignments": assignments})
    assert "dropped – – – sample 0 component-1 p 0 sample 1 component-1 q 1" in page.text


def test_many_samples_stay_a_small_page(tmp_path: Path):
    folder = build(tmp_path / "large", ranks=(2, 3), n_samples=1500)
    figures.draw_all(folder)
    html = report.render_report(folder, folder.root / "figures")
    assert len(html) < 3_000_000
    page = Page(html)
    assert "The first 200 of 1,500 samples" in page.text
    assert "The other 1,300 are in solution/H.tsv" in page.text


def test_maps_that_would_make_the_page_too_large_are_named_instead(tmp_path: Path):
    folder = build(tmp_path / "tiny", ranks=tuple(range(1, 13)), recommended=9)
    stand_in_figures(folder, svg_bytes=590_000)
    html = report.render_report(folder, folder.root / "figures")
    assert len(html) < 10_000_000
    page = Page(html)
    maps = [a["alt"] or "" for a in page.all("img") if "Consensus matrix" in (a["alt"] or "")]
    assert [re.findall(r"rank (\d+)", alt)[0] for alt in maps] == ["7", "8", "9", "10", "11"]
    assert "open figures/consensus-rank-6.png" in page.text


def test_large_vector_figures_become_pixels(tmp_path: Path):
    folder = build(tmp_path / "tiny", ranks=(1, 2))
    stand_in_figures(folder, svg_bytes=700_000)
    html = report.render_report(folder, folder.root / "figures")
    assert "data:image/svg+xml" not in html
    assert "data:image/png" in html


def test_a_real_sweep_is_reported(finished_sweep: Path, tmp_path: Path):
    folder = store.SweepFolder(finished_sweep)
    html = report.render_report(folder, finished_sweep / "figures")
    page = Page(html)
    assert folder.recommendation["headline"] in page.text
    assert len(page.all("img", "svg")) == 7 + len(folder.ranks)
    assert html.encode() == (finished_sweep / "report.html").read_bytes()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0"),
        (-0.05, "−0.05"),
        (0.123456, "0.1235"),
        (12345.6, "12,346"),
        (8723000000.0, "8.723 × 10⁹"),
        (1e-5, "1 × 10⁻⁵"),
        (5000, "5,000"),
        (True, "True"),
        ("a", "a"),
    ],
)
def test_numbers_are_written_for_people(value: object, text: str):
    assert number(value) == text
