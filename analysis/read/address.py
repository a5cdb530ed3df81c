"""Whether a tracking store can be read, said in seconds: MLflow itself tries for minutes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from study.schema import address

_SECONDS = 5  # for a server to say that it is well


class ReportError(Exception):
    """One sentence for the user; the command line prints it and ends with 2."""


class PassingError(ReportError):
    """What may pass by itself: a store that does not answer, a study whose plan is not written yet."""


def check_folder() -> None:
    """Raises ReportError where the working folder is gone: then no path that starts there means anything."""
    try:
        Path.cwd()
    except OSError as problem:
        raise ReportError(f"the folder that this was started in cannot be used ({problem.strerror}); cd to one that "
                          "is there") from problem


def check(uri: str) -> None:
    """Raises ReportError where `uri` is none, or names an SQLite file that is not there: opening it would create an
    empty store. Raises PassingError for a server that does not answer like MLflow's, SQLAlchemyError for a database
    that does not answer."""
    if problem := address.problem(uri):
        raise ReportError(problem)
    if path := address.sqlite_path(uri):
        if not path.is_file():
            raise ReportError(f"no tracking store at {path}: run a study first, or name its store with --tracking-uri")
        if problem := address.foreign(path):
            raise ReportError(f"tracking URI: {problem}")
    elif uri.startswith(address.SERVER):
        _check_server(uri)
    elif uri.startswith(("postgresql", "mysql")):
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        create_engine(uri, poolclass=NullPool, connect_args={"connect_timeout": _SECONDS}).connect().close()


def _check_server(uri: str) -> None:
    """Asked as MLflow asks: with its credentials and proxies."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request
    from requests.utils import get_environ_proxies, select_proxy

    shown, through = without_password(uri), ""
    if select_proxy(uri, get_environ_proxies(uri)):
        through = f"; asked through a proxy: for a server that needs none, export no_proxy={urlsplit(uri).hostname}"
    try:
        answer = http_request(get_default_host_creds(uri), "/health", "GET", timeout=_SECONDS, max_retries=0,
                              raise_on_status=False)
    except MlflowException as problem:
        kind = type(problem.__cause__ or problem.__context__ or problem).__name__
        raise PassingError(f"no tracking server answers at {shown} ({kind}){through}") from problem
    if answer.status_code != 200 or answer.text.strip() != "OK":
        raise PassingError(f"{shown} does not answer like an MLflow server (/health gives {answer.status_code}"
                           f"{', a page' if answer.status_code == 200 else ''}){through}")


def words(problem: Exception) -> str:
    """What MLflow's or a database's error says, as one line without a page's text or advice that does not help."""
    text = " ".join(str(problem).split()) or type(problem).__name__
    text = text.partition(" (Background on this error")[0].partition(" Response body:")[0]
    if "out-of-date database schema" in text or "Can't locate revision" in text:
        import mlflow

        return f"it is of another release of MLflow than the installed {mlflow.__version__}; a launch says what helps"
    return text[:200]


def without_password(uri: str) -> str:
    """A store's URI as a page may show it."""
    parts = urlsplit(uri) if "://" in uri and "@" in uri else None
    if parts is None or not parts.password:
        return uri
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:PASSWORD@{host}"))
