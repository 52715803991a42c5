"""Solutions in other formats hold the same numbers."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from test_stages import Sweep, two_groups

from nmfcore.adapters import exports, store
from nmfcore.adapters.anndata_files import add_to_h5ad
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


def test_a_solution_is_added_to_an_h5ad_file_by_id(
    folder: store.SweepFolder, tmp_path: Path
) -> None:
    tables = exports.solution_tables(folder)
    features, samples = tables.W.index[::-1].tolist(), tables.H.index[::-1].tolist()
    path = tmp_path / "x.h5ad"
    with h5py.File(path, "w") as file:
        for table, ids in (("obs", [*samples, "left out"]), ("var", features)):
            file.create_group(table).attrs.update({"_index": "_index", "column-order": ["known"]})
            file[table]["_index"], file[table]["known"] = ids, np.arange(len(ids))
        file["X"] = np.zeros((len(samples) + 1, len(features)))
    for _ in range(2):  # adding it again replaces it
        add_to_h5ad(path, tables)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["varm/nmf"], tables.W.to_numpy()[::-1])
        np.testing.assert_array_equal(file["obsm/nmf"][:-1], tables.H.to_numpy()[::-1])
        assert not file["obsm/nmf"][-1].any()
        assert file["varm/nmf"].attrs["encoding-type"] == "array"
        columns = list(file["obs"].attrs["column-order"])
        assert columns == ["known", *(f"nmf_{name}" for name in tables.samples.columns)]
        assert set(columns) < set(file["obs"])
        written = [name.decode() for name in file["obs/nmf_component"]]
        assert written == [*tables.samples.loc[samples, "component"].fillna(""), ""]
        assert file["obs/nmf_component"].attrs["encoding-type"] == "string-array"
        assert [n.decode() for n in file["uns/nmf/component"]] == tables.components.index.tolist()


def test_a_file_of_old_anndata_is_refused(folder: store.SweepFolder, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        file["obs"] = file["var"] = np.zeros(2, [("index", "S2")])
    with pytest.raises(InputError, match=r"x\.h5ad was written by AnnData before 0\.7"):
        add_to_h5ad(tmp_path / "x.h5ad", exports.solution_tables(folder))


def test_the_command_line(
    folder: store.SweepFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exports.main([str(folder.root), "-o", str(tmp_path)]) == 0
    assert "W.parquet" in capsys.readouterr().out
    assert exports.main([str(folder.root), "-o", str(tmp_path), "--rank", "9"]) == 1
    assert "rank-9" in capsys.readouterr().err
