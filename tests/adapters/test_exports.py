"""Solutions in other formats hold the same numbers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_stages import Sweep, two_groups

from nmfcore.adapters import exports, store
from nmfcore.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> store.SweepFolder:
    return Sweep(tmp_path_factory.mktemp("sweep"), two_groups()).run()


@pytest.mark.parametrize("kind", ["tsv", "parquet"])
@pytest.mark.parametrize("rank", [None, 3])
def test_tables_hold_the_solution(
    folder: store.SweepFolder, tmp_path: Path, kind: str, rank: int | None
) -> None:
    written = exports.export(folder, tmp_path, kind, rank)
    names = ["W", "H", "H_low", "H_high", "components", "samples"]
    assert [path.name for path in written] == [f"{name}.{kind}" for name in names]
    tables = {
        path.stem: pd.read_parquet(path)
        if kind == "parquet"
        else pd.read_csv(path, sep="\t", index_col=0)
        for path in written
    }
    document, arrays = folder.solution_at(rank)
    np.testing.assert_allclose(tables["W"], arrays["W"], rtol=1e-15)
    np.testing.assert_allclose(tables["H"].T, arrays["H"], rtol=1e-15)
    assert (tables["H_low"] <= tables["H"]).all(axis=None)
    assert (tables["H_high"] >= tables["H"]).all(axis=None)
    assert tables["W"].index.tolist() == arrays["feature_ids"].tolist()
    assert tables["components"].index.tolist() == tables["W"].columns.tolist()
    for entry in document["components"]:
        line = tables["components"].loc[entry["name"]]
        assert line["support"] == entry["support"]
        assert [line["support_interval_low"], line["support_interval_high"]] == pytest.approx(
            entry["support_interval"]
        )
    assert tables["samples"].index.tolist() == [e["sample"] for e in document["assignments"]]


def test_h5ad_needs_such_an_input(folder: store.SweepFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"table\.tsv, no \.h5ad file"):
        exports.export(folder, tmp_path, "h5ad")


def test_an_unknown_format_is_refused(folder: store.SweepFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tsv, parquet, h5ad"):
        exports.export(folder, tmp_path, "xlsx")


@pytest.mark.skipif(importlib.util.find_spec("anndata") is None, reason="needs anndata")
def test_anndata_is_filled_by_id(folder: store.SweepFolder) -> None:
    import anndata

    tables = exports.solution_tables(folder)
    features, samples = tables.W.index[::-1], tables.H.index[::-1]
    data = anndata.AnnData(
        np.zeros((len(samples), len(features))),
        obs=pd.DataFrame(index=samples),
        var=pd.DataFrame(index=features),
    )
    exports.add_to_anndata(data, tables)
    np.testing.assert_array_equal(data.varm["nmf"], tables.W.to_numpy()[::-1])
    np.testing.assert_array_equal(data.obsm["nmf"], tables.H.to_numpy()[::-1])


def test_the_command_line(
    folder: store.SweepFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exports.main([str(folder.root), "-o", str(tmp_path)]) == 0
    assert "W.parquet" in capsys.readouterr().out
    assert exports.main([str(folder.root), "-o", str(tmp_path), "--rank", "9"]) == 1
    assert "rank-9" in capsys.readouterr().err
