"""Numbers as people write them."""

from __future__ import annotations

import math


def is_undefined(value: object) -> bool:
    """Whether there is no number: None, NaN or infinite."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def number(value: object) -> str:
    """Return a number for people: four significant digits, a dash where undefined."""
    if is_undefined(value):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.3e}".split("e")
        return f"{float(mantissa):g} × 10{superscript(int(exponent))}".replace("-", "−")
    return (f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}").replace("-", "−")


def decimal(value: float) -> str:
    """Return a number for a column of numbers of one order: four decimals."""
    return "–" if is_undefined(value) else f"{value:.4f}".replace("-", "−")


def superscript(exponent: int) -> str:
    """Return a whole number in raised digits."""
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def percent(value: float | None) -> str:
    """Return a share as a percentage, a dash where undefined."""
    return "–" if value is None or is_undefined(value) else f"{100 * value:.3g} %"
