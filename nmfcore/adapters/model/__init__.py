"""A solution that can be used on new samples: aligned by feature ids, from a result folder or as an MLflow model."""

from nmfcore.adapters.model.applying import (
    LEAST_SHARE,
    Applied,
    FittedComponents,
    read_components,
    read_fitted,
    write_fitted,
)
from nmfcore.adapters.model.packing import pack_model

__all__ = [
    "LEAST_SHARE",
    "Applied",
    "FittedComponents",
    "pack_model",
    "read_components",
    "read_fitted",
    "write_fitted",
]
