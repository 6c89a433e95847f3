"""Access control: identities, and the access control lists that name them.

The rules are those of ``PrepRequestProcessor.fixupACL``, ``ZooKeeperServer.checkACL`` and of the two authentication
providers that a server has by default: ``digest`` and ``ip``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from txmirror.embedded.cursor import NULL
from txmirror.errors import InvalidACLException, MarshallingErrorException, NoAuthException
from txmirror.types import ACL, Permission

#: The schemes for which a server has a provider.
_SCHEMES = frozenset({"world", "digest", "ip"})
#: A decimal number as Java reads it, in any script; no more digits than make sense.
_NUMBER = re.compile(r"[+-]?\d{1,10}")


class Identity(NamedTuple):
    """An authenticated identity: a scheme, and a name in it."""

    scheme: str
    name: str


def digest_identity(credentials: bytes) -> Identity:
    """Return the identity that ``user:password`` proves: the user, and a hash of both."""
    text = credentials.decode("utf-8", "replace")
    # The hash is the protocol's choice: all clients' digest ACLs contain it.
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).digest()
    return Identity("digest", f"{text.split(':', 1)[0]}:{base64.b64encode(digest).decode('ascii')}")


def user_name(identity: Identity) -> str:
    """Return the part of an identity that whoAmI shows to its owner: of a ``digest``, the user only."""
    return identity.name.split(":", 1)[0] if identity.scheme == "digest" else identity.name


def resolve(acls: Iterable[ACL], identities: Sequence[Identity], path: str) -> tuple[ACL, ...]:
    """Return the list as the server stores it: without duplicates, and with the caller's identities in place of ``auth``.

    :param identities: the caller's.
    :raises InvalidACLException: the list is empty, or names an unknown scheme or an identity that is invalid in its scheme, or
        says ``auth`` and the caller is not authenticated.
    :raises MarshallingErrorException: an identity is null, and its scheme reads it.
    """
    kept: list[ACL] = []
    for acl in dict.fromkeys(acls):
        if acl.identity is NULL and acl.scheme in _SCHEMES:
            raise MarshallingErrorException(f"an identity of the scheme {acl.scheme!r} is null")
        if acl.scheme == "auth":
            proved = [identity for identity in identities if identity.scheme == "digest"]
            if not proved:
                raise InvalidACLException(path=path)
            kept.extend(ACL(acl.permissions, *identity) for identity in proved)
        elif _is_valid(acl):
            kept.append(acl)
        else:
            raise InvalidACLException(path=path)
    if not kept:
        raise InvalidACLException(path=path)
    return tuple(kept)


def permits(acls: Sequence[ACL], permission: int, identities: Sequence[Identity]) -> bool:
    """Return whether any of ``identities`` has any of the permissions in ``permission``."""
    # Every request comes here, and the & of an IntFlag takes longer than all the rest.
    wanted = int(permission)
    return any(acl.permissions & wanted and _matches(acl, identities) for acl in acls)


def check(acls: Sequence[ACL], permission: int, identities: Sequence[Identity], path: str) -> None:
    """Check that one of ``identities`` has one of the permissions in ``permission``.

    :raises NoAuthException: none has it.
    """
    if not permits(acls, permission, identities):
        raise NoAuthException(path=path)


def shown_to(acls: Sequence[ACL], identities: Sequence[Identity]) -> list[ACL]:
    """Return the list as ``identities`` may see it: only an administrator of the node sees the hashes of passwords."""
    if permits(acls, Permission.ADMIN, identities):
        return list(acls)
    return [acl._replace(identity=re.sub(":.*", ":x", acl.identity)) if acl.scheme == "digest" else acl for acl in acls]


def _is_valid(acl: ACL) -> bool:
    if acl.scheme == "world":
        return acl.identity == "anyone"
    if acl.scheme == "digest":
        # Java's split drops empty parts at the end, but not at the start.
        return len(acl.identity.rstrip(":").split(":")) == 2
    return acl.scheme == "ip" and _network(acl.identity) is not None


def _matches(acl: ACL, identities: Sequence[Identity]) -> bool:
    if acl.scheme == "world":
        return acl.identity == "anyone"
    if acl.scheme != "ip":
        return (acl.scheme, acl.identity) in identities
    network = _network(acl.identity)
    if network is None:
        return False
    address, shift = network
    return any(
        scheme == "ip" and (own := _network(name)) is not None and own[0] >> shift == address >> shift
        for scheme, name in identities
    )


def _network(text: str) -> tuple[int, int] | None:
    """Parse ``a.b.c.d/bits`` into the address as a number, and the number of its low bits that do not count."""
    host, slash, bits = text.partition("/")
    parts = host.split(".")
    numbers = [*parts, bits] if slash else [*parts, "32"]
    if len(parts) != 4 or not all(map(_NUMBER.fullmatch, numbers)):
        return None
    *octets, significant = map(int, numbers)
    if not (all(0 <= octet <= 255 for octet in octets) and 0 <= significant <= 32):
        return None
    return int.from_bytes(bytes(octets), "big"), 32 - significant
