"""Packages that read foreign formats: loaded when such a file comes, named where they are not installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from nmfcore.errors import InputError


def load(module: str, package: str, extra: str, name: str) -> Any:
    """Import a module of an optional package.

    Parameters
    ----------
    module, package : str
        What is imported, and what it is called where packages are installed from.
    extra : str
        Extra of `nmfcore` that brings it.
    name : str
        File that needs it, for the message.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise InputError(
            f"{name} is read by the package {package}, which is not installed. "
            f"Install it by: pip install 'nmfcore[{extra}]' (make setup does)."
        ) from None
