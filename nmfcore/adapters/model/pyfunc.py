"""The MLflow model as code: MLflow runs this file when it saves and when it loads the model."""

from __future__ import annotations

import logging
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from nmfcore.adapters.matrix import LabelledMatrix
from nmfcore.adapters.model.applying import read_components

log = logging.getLogger("nmfcore")

ERROR_COLUMN = "reconstruction_error"


class ComponentsModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Samples × features in, samples × (coefficients, reconstruction error) out."""

    def load_context(self, context: Any) -> None:
        """Read the components from the model's artifact."""
        self.components = read_components(context.artifacts["components"])

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Coefficients and reconstruction error of new samples.

        Parameters
        ----------
        context : PythonModelContext
        model_input : DataFrame
            Samples × features, columns named as in training; NaN is a missing cell, which is hidden from the fit.
        params : dict, optional
            None are known.

        Returns
        -------
        DataFrame
            Indexed like the input. What was done to the features is logged, and in `attrs["notices"]`.
        """
        table = pd.DataFrame(model_input)
        values = table.to_numpy(np.float64).T
        missing = np.isnan(values)
        samples = LabelledMatrix(
            np.where(missing, 0.0, values),
            np.array([str(name) for name in table.columns], np.str_),
            np.array([str(name) for name in table.index], np.str_),
            ~missing if missing.any() else None,
        )
        applied = self.components.apply(samples)
        for notice in applied.notices:
            log.warning(notice)
        result = pd.DataFrame(applied.H.T, index=table.index, columns=list(self.components.names))
        result[ERROR_COLUMN] = applied.reconstruction_error
        result.attrs["notices"] = list(applied.notices)
        return result


mlflow.models.set_model(ComponentsModel())
