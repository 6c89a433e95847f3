"""Expands the placeholders in all strings of a value of TOML."""

from __future__ import annotations

from typing import Any

from txmirror.configuration.errors import InvalidValue, plain_key
from txmirror.placeholders import Placeholders

#: The most levels of tables and arrays. Python's own limit would depend on the depth of the call stack.
_DEEPEST = 32


def expand_all(placeholders: Placeholders, value: object) -> tuple[Any, list[tuple[str, str]]]:
    """Return a value of TOML with all strings in it expanded, and the errors within it. Keys are not expanded.

    It is an error if a placeholder is unknown or has no value, or a brace is alone; that string stays as it is.

    :raises InvalidValue: tables and arrays are nested too deeply.
    """
    errors: list[tuple[str, str]] = []
    return _expand(placeholders, value, "", 0, errors), errors


def _expand(placeholders: Placeholders, value: object, place: str, depth: int, errors: list[tuple[str, str]]) -> object:
    def below(each: object, relative: str) -> object:
        return _expand(placeholders, each, place + relative, depth + 1, errors)

    if depth > _DEEPEST:
        raise InvalidValue(("", f"nested too deeply: more than {_DEEPEST} levels of tables and arrays"))
    if isinstance(value, str):
        try:
            return placeholders.expand(value)
        except ValueError as error:
            errors.append((place, str(error)))
    if isinstance(value, dict):
        return {key: below(each, f".{plain_key(key)}") for key, each in value.items()}
    if isinstance(value, list):
        return [below(each, f"[{index}]") for index, each in enumerate(value)]
    return value
