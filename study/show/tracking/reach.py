"""Whether MLflow's store is there and can be used: said in seconds, where MLflow itself tries for minutes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from study.schema.address import foreign, sqlite_path
from study.show.tracking.errors import TRANSIENT, TrackingError

INSTEAD = "or keep the study in a file: --tracking-uri sqlite:///mlflow.db"
DATABASE_SECONDS = 10  # for a database's server to answer


def check_database(uri: str) -> None:
    """Raises TrackingError for an SQLite file that cannot be used, SQLAlchemyError for a database that is away."""
    if path := sqlite_path(uri):
        _check_file(path, uri)
    elif uri.startswith(("postgresql", "mysql", "mssql")):
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        options = {} if uri.startswith("mssql") else {"connect_timeout": DATABASE_SECONDS}
        create_engine(uri, poolclass=NullPool, connect_args=options).connect().close()


def _check_file(path: Path, uri: str) -> None:
    if problem := foreign(path):
        raise TrackingError(f"tracking URI: {problem}")
    if path.is_dir():
        raise TrackingError(f"tracking URI: found the folder {str(path)!r}, expected a file; did you mean "
                            f"{uri.rstrip('/')}/mlflow.db?")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    for place, found in ((folder, folder.is_dir()), (path, True)):  # SQLite writes a journal beside its file
        if not found or (place.exists() and not os.access(place, os.R_OK | os.W_OK)):
            raise TrackingError(f"tracking URI: {str(place)!r} cannot be written, where {uri} is to be kept; name "
                                "another place, such as --tracking-uri sqlite:///FOLDER/mlflow.db")


def check_server(uri: str, timeout: float) -> None:
    """Raises TrackingError unless an MLflow server answers, asked as MLflow asks: with its credentials and proxies."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        answer = http_request(get_default_host_creds(uri), "/health", "GET", timeout=timeout, max_retries=0,
                              raise_on_status=False)
    except MlflowException as error:
        raise _silent(uri, timeout, error.__cause__ or error.__context__ or error) from error
    code, said = answer.status_code, answer.text.strip()
    if code == 200 and said == "OK":
        return
    if code == 403 and "Invalid Host header" in said:
        raise TrackingError(f"the MLflow server at {uri} refuses this host name (403); start it with --allowed-hosts "
                            "naming it")
    by = f", Server: {answer.headers['Server']}" if answer.headers.get("Server") else ""
    asks = code in (401, 403)
    raise TrackingError(
        f"{uri} does not answer like an MLflow server (/health gives {code if code != 200 else 'a page'}{by})"
        + ("; if it is one behind a log-in, set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" if asks else "")
        + ("; macOS has AirPlay at port 5000: start MLflow with another --port" if "AirTunes" in by else "")
        + _through(uri), away=code in TRANSIENT)


def _silent(uri: str, timeout: float, error: BaseException) -> TrackingError:
    """What to do about a request without an answer."""
    from requests import exceptions

    if through := _through(uri):
        return TrackingError(f"no MLflow server answers at {uri}{through}", away=True)
    if "ReadTimeout" in f"{type(error).__name__} {error}":
        return TrackingError(f"{uri} takes the connection and does not answer within {timeout:g} s; start the server "
                             f"again, {INSTEAD}", away=True)
    if isinstance(error, exceptions.SSLError):
        plain = "WRONG_VERSION_NUMBER" in str(error) or "record layer" in str(error)
        cure = (f"did you mean http{uri.removeprefix('https')}?" if plain else
                "MLFLOW_TRACKING_SERVER_CERT_PATH names a certificate to trust")
        return TrackingError(f"tracking URI: {uri} has {'no TLS' if plain else 'no certificate that is trusted here'}; "
                             f"{cure}", away=not plain)
    if isinstance(error, ValueError):  # requests' word for a URL that is none
        return TrackingError(f"tracking URI: found {uri!r}, expected a server's http(s)://HOST:PORT")
    return TrackingError(f"no MLflow server answers at {uri} ({type(error).__name__}); start it, {INSTEAD}", away=True)


def _through(uri: str) -> str:
    """That a request goes through a proxy, and how it would not; empty where it goes through none."""
    from requests.utils import get_environ_proxies, select_proxy

    proxies: dict[str, Any] = get_environ_proxies(uri, None)
    proxy = select_proxy(uri, proxies)
    return (f"; asked through the proxy {proxy} that the environment names: for a server that needs none, "
            f"export no_proxy={urlsplit(uri).hostname}") if proxy else ""
