"""A page in the browser, and what it asked for."""

from __future__ import annotations

from typing import Any


class Visit:
    """A page, what it asked for and what it complained about.

    Attributes
    ----------
    page : playwright Page
    requests : list of str
        Addresses, without data URIs.
    complaints : list of str
        Errors and warnings of the console, and exceptions.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", self._request)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _request(self, request: Any) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.requests.append(request.url)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)
