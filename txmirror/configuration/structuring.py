"""Build the classes of the configuration from tables of TOML, with cattrs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin

import attrs
from cattrs import (
    AttributeValidationNote,
    ClassValidationError,
    Converter,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn, override

from txmirror.access import Access
from txmirror.configuration.access_keys import AccessKeys
from txmirror.configuration.errors import InvalidValue, plain_key, unknown_keys
from txmirror.configuration.expanding import expand_all
from txmirror.configuration.probes import AT_ONCE, PROBES, Check, CheckName, CheckSettings
from txmirror.configuration.rules import Rule
from txmirror.json_text import DEEPEST
from txmirror.placeholders import Placeholders
from txmirror.printable import quote, suggest

_T = TypeVar("_T")

_SETTINGS = tuple(field.name for field in attrs.fields(CheckSettings))


def key_of(field: attrs.Attribute[Any]) -> str:
    """Return the key of the file for an attribute."""
    return str(field.metadata.get("key", field.name))


def rule_of(annotation: object) -> Rule | None:
    """Return the rule in an annotation, as in ``Annotated[float, Duration()]``."""
    if get_origin(annotation) is Annotated:
        # Everything but a rule lacks this method.
        return next((each for each in get_args(annotation)[1:] if hasattr(each, "read")), None)
    return None


class Structurer:
    """Builds instances of the configuration's classes, and finds all errors of a table at once."""

    def __init__(self) -> None:
        self._folder = Path()
        self._converter = Converter(detailed_validation=True)
        for check, factory in (
            (attrs.has, self._make_class_hook),
            (_is_tuple, self._make_tuple_hook),
            (_is_optional_class, self._make_optional_hook),
            (lambda annotation: rule_of(annotation) is not None, self._make_rule_hook),
        ):
            self._converter.register_structure_hook_factory(check, factory)
        self._converter.register_structure_hook(Check, lambda value, _: self._read_check(value))
        # A hook for the class itself would resolve its annotations, and these need the client, which is imported late.
        self._converter.register_structure_hook_func(
            lambda annotation: annotation is Access, lambda value, _: self._read_access(value)
        )
        for facts in (Mapping[str, object] | str, Mapping[str, object] | str | None):
            self._converter.register_structure_hook(facts, lambda value, _: _read_facts(value))

    def structure(
        self, table: dict[str, Any], kind: type[_T], folder: Path, placeholders: Placeholders | None = None
    ) -> _T:
        """Build an instance of a class from its table.

        :param folder: the absolute path of the folder that relative file names start from.
        :param placeholders: expands the strings; None leaves them as they are.
        :raises InvalidValue: the table has errors.
        """
        self._folder = folder
        expanded, errors = (table, []) if placeholders is None else expand_all(placeholders, table)
        try:
            built = self._read(expanded, kind)
        except InvalidValue as error:
            # A string that could not be expanded has one error already.
            places = {place for place, _ in errors}
            errors += [each for each in error.errors if each[0] not in places]
        if errors:
            raise InvalidValue(*errors)
        return built

    def _read(self, value: object, kind: type[_T]) -> _T:
        try:
            return self._converter.structure(value, kind)
        except Exception as error:
            # A group of cattrs', or whatever a hook has raised.
            errors = tuple(_list_errors(error))
            raise InvalidValue(*errors) from None

    def _make_class_hook(self, kind: Any) -> Callable[[object, Any], Any]:
        fields = attrs.fields(kind)
        renamed: dict[str, Any] = {
            field.name: override(rename=key_of(field)) for field in fields if key_of(field) != field.name
        }
        structure = make_dict_structure_fn(
            kind, self._converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True, **renamed
        )
        return lambda value, _: structure(_table(value), kind)

    def _make_tuple_hook(self, annotation: Any) -> Callable[[object, Any], Any]:
        items_type: Any = list[get_args(annotation)[0]]  # type: ignore[misc]  # an annotation at run time

        def structure(value: object, _: Any) -> tuple[Any, ...]:
            if not isinstance(value, list):
                raise ValueError(f"{quote(value)} is no array of tables")
            items: list[Any] = self._converter.structure(value, items_type)
            return tuple(items)

        return structure

    def _make_optional_hook(self, annotation: Any) -> Callable[[object, Any], Any]:
        kind = get_args(annotation)[0]
        return lambda value, _: self._converter.structure(value, kind)

    def _make_rule_hook(self, annotation: Any) -> Callable[[object, Any], Any]:
        rule = rule_of(annotation)
        assert rule is not None
        return lambda value, _: rule.read(value, self._folder)

    def _read_access(self, value: object) -> Access:
        table = _table(value)
        errors: tuple[tuple[str, str], ...] = ()
        try:
            keys = self._read(table, AccessKeys)
        except InvalidValue as error:
            # The other keys may have errors too, in their files.
            errors = error.errors
            wrong = {place for place, _ in errors}
            keys = self._read(
                {key: each for key, each in table.items() if f".{plain_key(key)}" not in wrong}, AccessKeys
            )
        try:
            access = keys.read()
        except InvalidValue as error:
            errors += error.errors
        if errors:
            raise InvalidValue(*errors)
        return access

    def _read_check(self, value: object) -> Check:
        table = dict(_table(value))
        word = table.pop("type", None)
        if word is None:
            raise InvalidValue((".type", f"it is missing: it is one of {', '.join(PROBES)}"))
        if not isinstance(word, str) or word not in PROBES:
            similar = suggest(word, PROBES) if isinstance(word, str) else ""
            raise InvalidValue((".type", f"{quote(word)} is not one of {', '.join(PROBES)}{similar}"))
        probe_class = PROBES[word]
        name = table.pop("name", word)
        own = [key_of(field) for field in attrs.fields(probe_class)]
        probe = {key: each for key, each in table.items() if key in own}
        settings = {key: each for key, each in table.items() if key in probe_class.settings and key not in own}
        others = [key for key in table if key not in probe and key not in settings]
        errors = [(f".{key}", f"a check of the type {word!r} does not have it") for key in others if key in _SETTINGS]
        known = ["name", "type", *own, *probe_class.settings]
        errors += unknown_keys([key for key in others if key not in _SETTINGS], known)
        fixed = {} if "interval" in probe_class.settings else AT_ONCE
        built: list[Any] = []
        for part, kind in ((probe, probe_class), ({**fixed, **settings}, CheckSettings), ({"name": name}, CheckName)):
            try:
                built.append(self._read(part, kind))
            except InvalidValue as error:
                errors += error.errors
        if errors:
            raise InvalidValue(*errors)
        return Check(probe=built[0], settings=built[1], name=built[2].name)


def _list_errors(error: BaseException) -> Iterator[tuple[str, str]]:
    """Yield the errors within an exception of cattrs."""
    if isinstance(error, InvalidValue):
        yield from error.errors
    elif isinstance(error, ClassValidationError):
        for inner in error.exceptions:
            name = next((each.name for each in _notes(inner) if isinstance(each, AttributeValidationNote)), None)
            place = "" if name is None else f".{key_of(getattr(attrs.fields(error.cl), name))}"
            yield from ((place + below, reason) for below, reason in _list_errors(inner))
    elif isinstance(error, IterableValidationError):
        for inner in error.exceptions:
            index = next(each.index for each in _notes(inner) if isinstance(each, IterableValidationNote))
            yield from ((f"[{index}]{below}", reason) for below, reason in _list_errors(inner))
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [key_of(field) for field in attrs.fields(error.cl)]
        yield from unknown_keys(sorted(error.extra_fields), known)
    elif isinstance(error, KeyError):
        yield "", "it is missing"
    elif isinstance(error, ValueError):
        yield "", str(error)
    else:
        # An error of ours, not of the file.
        raise error


def _notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def _table(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        # Not quoted: it may have a password.
        raise ValueError("it is no table")
    return value


def _read_facts(value: object) -> dict[str, object] | str:
    if not isinstance(value, (dict, str)):
        raise ValueError(f"{quote(value)} is neither a table nor a string")
    errors = list(_odd_values(value))
    if errors:
        raise InvalidValue(*errors)
    return value


def _odd_values(value: object, place: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield an error for each value of TOML that JSON does not have."""
    if depth > DEEPEST:
        yield "", f"nested too deeply: more than {DEEPEST} levels"
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _odd_values(each, f"{place}.{plain_key(key)}", depth + 1)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _odd_values(each, f"{place}[{index}]", depth + 1)
    elif isinstance(value, (date, time)):
        yield place, "a date or time cannot be stored: write it as a string"
    elif isinstance(value, float) and not math.isfinite(value):
        yield place, f"the number {value} cannot be stored"


def _is_tuple(annotation: object) -> bool:
    return get_origin(annotation) is tuple


def _is_optional_class(annotation: object) -> bool:
    return isinstance(annotation, UnionType) and attrs.has(get_args(annotation)[0])
