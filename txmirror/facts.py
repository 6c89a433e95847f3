"""Parse facts about a service from KEY=VALUE items, for the command and the daemon."""

from __future__ import annotations

from txmirror.interfaces import IPayloadCodec


def add_fact(facts: dict[str, str], item: str, codec: IPayloadCodec) -> None:
    """Add a KEY=VALUE item to facts.

    :param codec: the codec that will store the facts.
    :raises ValueError: the item has another form, its key is among the facts already, or it cannot be stored; the message quotes
        the item.
    """
    key, equals, value = item.partition("=")
    if not key or not equals:
        raise ValueError(f"{item!r} is not of the form KEY=VALUE")
    if key in facts:
        raise ValueError(f"the key {key!r} is given twice, in {item!r}")
    try:
        codec.encode({key: value}, pid=0, created=0.0)
    except ValueError as error:
        raise ValueError(f"{item!r} cannot be stored: {error}") from None
    facts[key] = value
