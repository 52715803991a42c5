"""What made a result file."""

from __future__ import annotations

from nmfcore.adapters import store
from nmfcore.adapters.code_digests import CODE
from nmfcore.adapters.environment import environment
from nmfcore.adapters.store import Json


def origin_of(input_sha256: str, settings: Json, stage: str) -> Json:
    """Provenance of what a stage makes from the matrix of a digest under its settings."""
    return {
        "input_sha256": input_sha256,
        "settings": settings,
        "settings_sha256": store.digest(settings),
        "code": CODE[stage],
        "environment": environment(),
    }
