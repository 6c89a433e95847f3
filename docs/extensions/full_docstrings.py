"""A Sphinx extension that shows the whole description of a member where it stands.

A docstring in the code is short if another one has the details: "Read a node's data. See :meth:`.IZooKeeperClient.get`." The site has
the details in place of the reference, so that nobody must follow it. A member without a docstring has that of its interface. A member
for which there is none is a warning, which is an error of the build.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator

from sphinx.application import Sphinx
from sphinx.errors import PycodeError
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging
from zope.interface import implementedBy
from zope.interface.interface import InterfaceClass, Method

_LOGGER = logging.getLogger(__name__)
#: A sentence that is only a reference.
_SEE = re.compile(r" ?\bSee :(?:meth|attr|func|class):`[~.]*([\w.]+)`\.(?=\s|$)")
_REFERENCE = re.compile(r":(meth|attr|class|func|exc|data):`([~.]*)([\w.]+)`")
_SENTENCE = re.compile(r"(.+?[.:](?:``)?)(?:\s+|$)(.*)", re.DOTALL)


def import_object(name: str) -> object:
    """Import an object by its full name.

    :raises ImportError: there is no such module.
    :raises AttributeError: the module has no such object.
    """
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            found = found[part] if isinstance(found, InterfaceClass) else getattr(found, part)
        return found
    raise ImportError(name)


def attribute_docs(cls: type, attribute: str) -> str:
    """Return the docstring below an attribute in the source of a class or its bases; empty if there is none."""
    for each in cls.__mro__:
        try:
            documented = ModuleAnalyzer.for_module(each.__module__).find_attr_docs()
        except PycodeError:
            continue
        if lines := documented.get((each.__qualname__, attribute)):
            return "\n".join(lines).strip()
    return ""


def docstring_of(name: str) -> str:
    """Return the docstring of an object, with the docstrings that it refers to in their places; empty if it has none.

    Its references have full names, so that they can stand elsewhere.
    """
    found = import_object(name)
    owner, _, attribute = name.rpartition(".")
    text = ""
    if not isinstance(found, (type, Method)) and not inspect.isroutine(found):
        parent = import_object(owner)
        text = attribute_docs(parent, attribute) if isinstance(parent, type) else ""
    text = text or found.__doc__ or interface_docs(name)
    return qualify(name, complete(name, inspect.cleandoc(text)))


def owner_docs(name: str) -> str:
    """Return the description of an attribute in the fields of its class's docstring; empty if there is none."""
    owner, _, attribute = name.rpartition(".")
    parent = import_object(owner)
    for cls in parent.__mro__ if isinstance(parent, type) else ():
        if found := re.search(
            rf"^:(?:param|ivar)(?: \w+)? {attribute}:\s*(.+?)(?=^:|^\S|\Z)",
            inspect.cleandoc(cls.__doc__ or ""),
            re.DOTALL | re.MULTILINE,
        ):
            text = inspect.cleandoc(" " + found[1].strip())
            return f"{text[0].upper()}{text[1:]}"
    return ""


def interface_docs(name: str) -> str:
    """Return the docstring that an interface has for a method or attribute; empty if there is none."""
    owner, _, attribute = name.rpartition(".")
    parent = import_object(owner)
    if isinstance(parent, type):
        for interface in implementedBy(parent).flattened():
            if attribute in interface and interface[attribute].__doc__:
                return inspect.cleandoc(interface[attribute].__doc__)
    return ""


def candidates(name: str, target: str) -> Iterator[str]:
    """Yield the full names that a reference in the docstring of an object may mean."""
    # A method for asyncio has the docstring of one for Twisted, and its module and name.
    found = import_object(name)
    if inspect.isroutine(found):
        yield f"{found.__module__}.{found.__qualname__.rpartition('.')[0]}.{target}"
        yield f"{found.__module__}.{target}"
    yield f"txmirror.interfaces.{target}"
    owner = name
    while owner := owner.rpartition(".")[0]:
        yield f"{owner}.{target}"
        found = import_object(owner)
        if isinstance(found, type):
            yield from (f"{each.__module__}.{target}" for each in found.__mro__)
        elif hasattr(found, "__module__"):
            yield f"{found.__module__}.{target}"
    yield target


def public(name: str) -> str:
    """Return the name without the private modules between the package and the object: the one that the reference has."""
    parts = name.split(".")
    for position, part in enumerate(parts):
        if re.match(r"I[A-Z][a-z]|I[A-Z]{2}", part):
            return ".".join(["txmirror", "interfaces", *parts[position:]])
    for end in range(2, len(parts)):
        for start in range(len(parts) - 1, end, -1):
            shorter = ".".join([*parts[:end], *parts[start:]])
            try:
                if import_object(shorter) is import_object(name):
                    return shorter
            except (ImportError, AttributeError, KeyError):
                continue
    return name


def resolve(name: str, target: str) -> str | None:
    """Return the full name of the object that a reference means, other than the object itself; None if there is none."""
    for each in candidates(name, target):
        try:
            import_object(each)
        except (ImportError, AttributeError, KeyError):
            continue
        if each.startswith("txmirror") and each != name:
            return each
    return None


def qualify(name: str, text: str) -> str:
    """Replace the names in references by full names."""

    def replace(match: re.Match[str]) -> str:
        full = None if match[3].startswith("txmirror.") else resolve(name, match[3])
        own = full and getattr(import_object(name.rpartition(".")[0]), match[3], None)
        # A world of ``txmirror.testing``, as a drawing uses, wraps the methods of recipes.
        same = full and inspect.unwrap(own) is inspect.unwrap(import_object(full))  # type: ignore[arg-type]
        if full is None or same or full == f"{name.rpartition('.')[0]}.{match[3]}":
            # The class that shows this text has a method of the same name, as an implementation of an interface has.
            return match[0]
        return f":{match[1]}:`{match[3]} <{public(full)}>`"

    return _REFERENCE.sub(replace, text)


def complete(name: str, text: str) -> str:
    """Put the details of the docstrings that ``text`` refers to in the place of the references.

    The text has its own first sentence. All that follows the first sentence of the other docstring is added below.
    """
    for match in list(_SEE.finditer(text)):
        target = resolve(name, match[1])
        if target is None:
            _LOGGER.warning("%s: its docstring refers to %s, which is not there", name, match[1])
            continue
        head, _, rest = docstring_of(target).partition("\n\n")
        more = _SENTENCE.fullmatch(head.strip())
        before, _, after = text.replace(match[0], "", 1).partition("\n\n")
        extra = more[2] if more else ""
        own = f"{before.strip()} {extra}".strip()
        text = "\n\n".join(each for each in (own, after.strip("\n"), rest.strip("\n")) if each)
    return text


def process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Complete the docstring of an object for autodoc."""
    if not name.startswith("txmirror"):
        return
    text = "\n".join(lines).strip("\n")
    if not text.strip() and what in {"method", "attribute", "property"}:
        text = interface_docs(name) or owner_docs(name)
    if not text.strip():
        _LOGGER.warning("%s has no docstring", name)
        return
    lines[:] = [*complete(name, text).splitlines(), ""]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True}
