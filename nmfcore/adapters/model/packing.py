"""A finished sweep → a folder that MLflow can load, here or on a machine without this project."""

from __future__ import annotations

import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import nmfcore
from nmfcore.adapters.model.applying import FittedComponents, read_fitted, write_fitted
from nmfcore.adapters.store import SweepFolder
from nmfcore.blocks import submatrix

REQUIREMENTS = ("mlflow", "numba", "numpy", "pandas", "scipy")
N_EXAMPLES = 2

_CODE = Path(__file__).with_name("pyfunc.py")


def pack_model(folder: SweepFolder, path: str | Path, rank: int | None = None) -> None:
    """Write a solution as an MLflow pyfunc model: code and a sealed npz, no pickle.

    Parameters
    ----------
    folder : SweepFolder
        With a solution.
    path : path
        Folder to create.
    rank : int, optional
        The solution of that rank instead of the recommended one.
    """
    fitted = read_fitted(folder.root, rank)
    with tempfile.TemporaryDirectory(prefix="nmfcore-") as scratch, warnings.catch_warnings():
        # MLflow warns of its own type hints, and of what it asks of pandas.
        warnings.simplefilter("ignore")
        from mlflow.models import ModelSignature
        from mlflow.pyfunc import save_model

        npz = Path(scratch) / "W.npz"
        write_fitted(npz, fitted, folder.recommendation["provenance"])
        save_model(
            path=str(path),
            python_model=str(_CODE),
            artifacts={"components": str(npz)},
            signature=ModelSignature(*_schemas(fitted)),
            input_example=_example(folder, fitted),
            pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
            code_paths=[str(Path(nmfcore.__file__).parent)],
        )
    _forget_places(Path(path))


def _forget_places(packed: Path) -> None:
    """MLflow notes where on this machine the parts of a model came from, and reads it nowhere."""
    from mlflow.models import Model

    model = Model.load(str(packed))
    flavor = model.flavors["python_function"]
    flavor["model_code_path"] = Path(flavor["model_code_path"]).name
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    model.save(str(packed / "MLmodel"))


def _schemas(fitted: FittedComponents) -> tuple[Any, Any]:
    """Columns in and out. A feature may be missing, and may be counts: MLflow would refuse both of a 'double'."""
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    inputs = [ColSpec(AnyType(), str(name), required=False) for name in fitted.feature_ids]
    outputs = [ColSpec("double", name) for name in (*fitted.names, "reconstruction_error")]
    return Schema(inputs), Schema(outputs)


def _example(folder: SweepFolder, fitted: FittedComponents) -> Any:
    """First training samples, as samples × features."""
    import pandas as pd

    V = folder.matrix
    values = submatrix(V.values, *(np.arange(n) for n in (V.shape[0], min(V.shape[1], N_EXAMPLES))))
    dense = values.toarray() if V.is_sparse else np.asarray(values)
    return pd.DataFrame(
        dense.T.astype(np.float64),
        index=V.sample_ids[:N_EXAMPLES],
        columns=[str(name) for name in fitted.feature_ids],
    )
