"""Placeholders in the strings of a configuration and of endpoints: ``{name}``, ``{env:VARIABLE}`` and others. Nothing is executed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from txmirror.printable import is_utf8, quote, suggest

_T = TypeVar("_T")

#: The longest total of the values in one string: a short file could otherwise use up the memory.
_LONGEST = 2**20

_ENVIRONMENT = "env:"
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")

#: Functions that return the value of each placeholder, or raise ValueError if it has none.
ValueFunctions = Mapping[str, Callable[[], str]]


class EnvironmentText(str):
    """A string that contains values of environment variables, which may be secret. Its ``repr`` has the variables' names in
    their place, and so has :func:`shown`.
    """

    __slots__ = ("shown",)

    shown: str

    def __new__(cls, value: str, shown: str) -> EnvironmentText:  # noqa: PYI034 - see pyproject.toml on Self
        """Return a string with another text to show."""
        text = super().__new__(cls, value)
        text.shown = shown
        return text

    def __repr__(self) -> str:
        return repr(self.shown)


def shown(text: str) -> str:
    """Return a text without the values of environment variables, for a log or a terminal."""
    return text.shown if isinstance(text, EnvironmentText) else text


def hide(value: object) -> object:
    """Return data without the values of environment variables."""
    if isinstance(value, Mapping):
        return {key: hide(each) for key, each in value.items()}
    if isinstance(value, list):
        return [hide(each) for each in value]
    return shown(value) if isinstance(value, str) else value


def transform(function: Callable[..., str], *texts: str) -> str:
    """Apply a function to texts, and also to their shown forms."""
    value = function(*texts)
    if any(isinstance(text, EnvironmentText) for text in texts):
        return EnvironmentText(value, function(*map(shown, texts)))
    return value


def parse(function: Callable[[str], _T], text: str) -> _T:
    """Call a parser whose messages quote parts of the text.

    :raises ValueError: the text is invalid. The message is the parser's, unless it could quote an environment variable.
    """
    try:
        return function(text)
    except ValueError as error:
        if isinstance(text, EnvironmentText):
            raise ValueError(f"{quote(text)} is invalid with the values of its variables") from None
        raise ValueError(str(error)) from None


class Placeholders:
    """Expands placeholders.

    :param values: the placeholders without ``env:``.
    :param environment: the environment variables.
    """

    def __init__(self, values: ValueFunctions, environment: Mapping[str, str]) -> None:
        self._values = values
        self._environment = environment

    def expand(self, text: str) -> str:
        """Return a text with its placeholders expanded.

        :raises ValueError: a placeholder is unknown or has no value, or a brace is alone; the message quotes it.
        """
        values: list[str] = []
        hidden: list[str] = []
        last = length = 0
        for token in _TOKEN.finditer(text):
            value, visible = self._expand_token(token[0], token[1])
            between = text[last : token.start()]
            values += [between, value]
            hidden += [between, visible]
            last = token.end()
            length += len(value)
            if length > _LONGEST:
                raise ValueError(f"with its placeholders it has more than {_LONGEST} characters")
        rest = text[last:]
        expanded, visible = "".join([*values, rest]), "".join([*hidden, rest])
        return expanded if expanded == visible else EnvironmentText(expanded, visible)

    def _expand_token(self, token: str, name: str | None) -> tuple[str, str]:
        """Return the value of a token, and its shown form."""
        if name is None:
            if len(token) == 1:
                raise ValueError(f"{token!r} alone is no placeholder: write {token * 2!r} for the character itself")
            return token[0], token[0]
        if name.startswith(_ENVIRONMENT):
            return self._variable(name.removeprefix(_ENVIRONMENT)), token
        if name not in self._values:
            similar = suggest(name, [*self._values, _ENVIRONMENT])
            raise ValueError(f"unknown placeholder {quote(token)}{similar or '; write {{ and }} for braces'}")
        try:
            value = self._values[name]()
        except ValueError as error:
            raise ValueError(f"{token} has no value: {error}") from None
        return value, shown(value)

    def _variable(self, name: str) -> str:
        value = self._environment.get(name)
        if value is None:
            raise ValueError(f"the environment variable {quote(name)} is not set")
        if not is_utf8(value):
            raise ValueError(f"the environment variable {quote(name)} is not UTF-8")
        return value
