"""Where runs are published: addresses without their secrets, locks, and whether anybody answers."""

from __future__ import annotations

import fcntl
import http.client
import os
import re
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

DEFAULT_EXPERIMENT = "nmf"

_SQLITE = "sqlite:///"
_HTTP = ("http", "https")
_DATABASE_PORTS = {"postgresql": 5432, "postgres": 5432, "mysql": 3306, "mssql": 1433}
_GATEWAY_FAILED = (502, 503, 504)
_ANSWER_S = 3.0
_LOCK_S = 60.0

_USER_INFO = re.compile(r"(?<=://)\S*@")
_SECRET_VALUE = re.compile(
    r"(?i)(\b\w*(?:token|pass|passwd|password|pwd|secret|api_?key|signature|sig|credential|auth)\w*=)"
    r"[^&;#\s'\"]+"
)


# Inherited by the jobs of a sweep.
_HIDDEN = "NMFCORE_TRACKING_URI"


class TrackingUnavailableError(Exception):
    """Nothing can be published now; the message says why, without secrets."""


def tracking_uri(uri: str | None, results: Path) -> str:
    """Address of the tracking store.

    Parameters
    ----------
    uri : str or None
        What the configuration says, or what `hide` made of it. None: the embedded SQLite store of the results
        folder.
    results : path
        The folder that holds all sweeps.

    Returns
    -------
    str
        An address that means the same in every working directory.
    """
    if uri is None:
        return f"{_SQLITE}{results.resolve() / 'mlflow/mlflow.db'}"
    hidden = os.environ.get(_HIDDEN, "")
    if uri == redact(hidden):
        uri = hidden
    path = sqlite_path(uri)
    if path is None:
        return uri
    _, question, options = uri.partition("?")
    return f"{_SQLITE}{path.resolve()}{question}{options}"


def sqlite_path(uri: str) -> Path | None:
    """File of an SQLite store; None for every other kind."""
    path = uri.removeprefix(_SQLITE).partition("?")[0]
    return Path(path) if uri.startswith(_SQLITE) and path else None


def redact(text: str, uri: str = "") -> str:
    """Text without user names, passwords and tokens.

    Parameters
    ----------
    text : str
        An address, or a message that may quote one.
    uri : str, optional
        An address whose password must not appear in any form.

    Examples
    --------
    >>> redact("http://ann:s3cret@tracking.example:5000/?token=abc")
    'http://***@tracking.example:5000/?token=***'
    """
    password = uri.rpartition("@")[0].partition("://")[2].partition(":")[2]
    for secret in {password, unquote(password)} - {""}:
        text = text.replace(secret, "***")
    return _SECRET_VALUE.sub(r"\1***", _USER_INFO.sub("***@", text))


def hide(uri: str | None) -> str | None:
    """Keep an address in the environment, and return it without its secrets.

    Snakemake notes the parameters of its jobs on disk, and shows them where they changed; it may note only this.
    `tracking_uri` finds the whole address again, in this process and in those that it starts.
    """
    if uri is None or redact(uri) == uri:
        return uri
    os.environ[_HIDDEN] = uri
    return redact(uri)


@dataclass(frozen=True)
class Destination:
    """Where to publish.

    Attributes
    ----------
    uri : str
        Resolved address of the store.
    home : path
        Folder of the embedded store, of its artifacts and of locks.
    experiment : str
        Prefix of the names of the two experiments.
    """

    uri: str
    home: Path
    experiment: str = DEFAULT_EXPERIMENT

    @classmethod
    def of(cls, uri: str | None, experiment: str | None, results_root: str | Path) -> Destination:
        """Destination from the configuration's `tracking` keys and the folder of all sweeps."""
        results = Path(results_root).resolve()
        return cls(tracking_uri(uri, results), results / "mlflow", experiment or DEFAULT_EXPERIMENT)

    @property
    def sweeps(self) -> str:
        """Name of the experiment with one run a sweep."""
        return f"{self.experiment} sweeps"

    @property
    def fits(self) -> str:
        """Name of the flat experiment with one run for every (rank, seed)."""
        return f"{self.experiment} fits"

    @property
    def is_server(self) -> bool:
        """Whether a server keeps the store, and with it the schema and the artifacts."""
        return urlsplit(self.uri).scheme in _HTTP

    def artifacts(self, kind: str) -> str | None:
        """Absolute place of an experiment's artifacts; None where a server decides."""
        return None if self.is_server else (self.home / "artifacts" / kind).as_uri()

    @contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Keep other processes from working on the same thing.

        Raises
        ------
        TrackingUnavailableError
            If another process holds the lock for a minute.
        """
        path = self.home / "locks" / re.sub(r"[^\w.-]", "_", what)
        path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + _LOCK_S
        with open(path, "a") as file:
            while True:
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except (BlockingIOError, PermissionError):
                    if time.monotonic() > deadline:
                        raise TrackingUnavailableError(
                            f"another process has held {path} for {_LOCK_S:.0f} s"
                        ) from None
                    time.sleep(0.05)
            yield

    def check(self) -> None:
        """Find out in seconds whether the store can be used: MLflow would try for minutes.

        Raises
        ------
        TrackingUnavailableError
            If no one answers, or the SQLite file is damaged.
        """
        path = sqlite_path(self.uri)
        try:
            if path is not None:
                _check_sqlite(path)
            elif self.is_server:
                _check_server(self.uri)
            else:
                _check_database(self.uri)
        except (OSError, http.client.HTTPException, ValueError, sqlite3.Error) as error:
            reason = redact(str(getattr(error, "reason", error)) or type(error).__name__, self.uri)
            raise TrackingUnavailableError(
                f"the tracking store {redact(self.uri)} cannot be used ({reason})"
            ) from None


def _check_sqlite(path: Path) -> None:
    if not path.is_file() or not path.stat().st_size:
        return
    # SQLite's own URI, so that nothing is created where the file has just vanished.
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as database:
        database.execute("PRAGMA schema_version").fetchone()


def _check_server(uri: str) -> None:
    parts = urlsplit(uri)
    place = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
    request = Request(place.geturl().rstrip("/") + "/health")
    try:
        urlopen(request, timeout=_ANSWER_S).close()
    except HTTPError as answer:
        answer.close()
        if answer.code in _GATEWAY_FAILED:
            raise


def _check_database(uri: str) -> None:
    parts = urlsplit(uri)
    port = parts.port or _DATABASE_PORTS.get(parts.scheme.partition("+")[0])
    if parts.hostname and port:
        socket.create_connection((parts.hostname, port), _ANSWER_S).close()
