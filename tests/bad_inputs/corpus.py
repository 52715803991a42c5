"""All bad files."""

from __future__ import annotations

from bad_inputs import fields, matrices

CASES = [*matrices.CASES, *fields.CASES]
