"""Names that a spreadsheet would take for formulas."""

from __future__ import annotations

from collections.abc import Iterable

from nmfcore.adapters.readers import cells
from nmfcore.adapters.readers.wording import counted, few, quoted


def formula_notices(ids: Iterable[str]) -> tuple[str, ...]:
    """Return a notice if names begin like a formula: tables give every name as it is, a spreadsheet may run it.

    Examples
    --------
    >>> [notice.split(".")[0] for notice in formula_notices(["=1+1", "-2", "BRCA1"])]
    ["1 name begins like a formula ('=1+1')"]
    >>> formula_notices(["-2", "+3.5", "a=b"])
    ()
    """
    found = [name for name in ids if name[:1] in "=+-@" and name and not cells.is_number(name)]
    if not found:
        return ()
    begins = "begins" if len(found) == 1 else "begin"
    return (
        f"{counted(len(found), 'name')} {begins} like a formula ({few(map(quoted, found))}). Tables hold names as they "
        "are; import them into a spreadsheet as text, or rename them.",
    )
