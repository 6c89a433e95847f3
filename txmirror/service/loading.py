"""Load a configuration whose checks can all be made on this machine."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.task import Clock

from txmirror.configuration import Configuration, ConfigurationError, HTTPServer, load
from txmirror.service.making_checks import CheckMaker
from txmirror.web.site import ServerTLS, read_token


def load_usable(path: str) -> Configuration:
    """Load a configuration, and check it as :func:`check_usable` does.

    :raises ConfigurationError: it is invalid.
    """
    configuration = load(path)
    check_usable(configuration)
    return configuration


def check_usable(configuration: Configuration) -> None:
    """Make the checks of a configuration, and throw them away. Nothing is opened but files of certificates and of the token.

    :raises ConfigurationError: some cannot be made: a package is missing, or one of these files cannot be read.
    """
    problems = list(_find_problems(configuration))
    if problems:
        raise ConfigurationError(problems)


def _find_problems(configuration: Configuration) -> Iterator[str]:
    if configuration.http is not None:
        yield from _find_http_problems(configuration.http)
    # They do not start, so they need no time and no sockets.
    maker = CheckMaker(lambda _: None, Clock(), Clock())
    for service in configuration.services:
        try:
            maker.health(service)
        except (ImportError, ValueError) as error:
            yield f"service {service.id}: {error}"


def _find_http_problems(http: HTTPServer) -> Iterator[str]:
    if http.token_file is not None:
        try:
            read_token(http.token_file)
        except ValueError as error:
            yield f"http: {error}"
    if http.certificate is not None:
        try:
            ServerTLS(http.certificate, http.key, http.client_ca).prepare()
        except (ImportError, ValueError) as error:
            yield f"http: {error}"
