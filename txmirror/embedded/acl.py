"""Who may do what: identities, and the access control lists that name them.

The rules are those of ``PrepRequestProcessor.fixupACL``, ``ZooKeeperServer.checkACL`` and of the two authentication
providers that a server has without being told: ``digest`` and ``ip``.
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

#: The schemes of which a server knows a provider.
_LOOKED_AT = frozenset({"world", "digest", "ip"})
#: What Java takes for a decimal number, of any script; no more digits than make sense.
_NUMBER = re.compile(r"[+-]?\d{1,10}")


class Identity(NamedTuple):
    """Somebody, as a scheme knows them."""

    scheme: str
    name: str


def digest_identity(credentials: bytes) -> Identity:
    """Give the identity that ``user:password`` proves: the user, and a hash of both."""
    text = credentials.decode("utf-8", "replace")
    # The hash is the protocol's choice; it is what Java's and everybody's digest ACLs hold.
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).digest()
    return Identity("digest", f"{text.split(':', 1)[0]}:{base64.b64encode(digest).decode('ascii')}")


def user_name(identity: Identity) -> str:
    """Give what may be told of an identity to those whose it is: of a ``digest``, the user only."""
    return identity.name.split(":", 1)[0] if identity.scheme == "digest" else identity.name


def resolve(acls: Iterable[ACL], identities: Sequence[Identity], path: str) -> tuple[ACL, ...]:
    """Give the list as it is kept: without repetitions, and with whoever asks in the place of ``auth``.

    :param identities: who asks.
    :raises InvalidACLException: it is empty, names an unknown scheme or what is no identity of its scheme, or says ``auth``
        where whoever asks has proved nothing.
    :raises MarshallingErrorException: the identity is null, and its scheme looks at it.
    """
    kept: list[ACL] = []
    for acl in dict.fromkeys(acls):
        if acl.identity is NULL and acl.scheme in _LOOKED_AT:
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
    """Tell whether any of ``identities`` has any of the permissions in ``permission``."""
    # Every request comes here, and what an IntFlag does to & takes longer than all the rest.
    wanted = int(permission)
    return any(acl.permissions & wanted and _matches(acl, identities) for acl in acls)


def check(acls: Sequence[ACL], permission: int, identities: Sequence[Identity], path: str) -> None:
    """Make sure that one of ``identities`` has one of the permissions in ``permission``.

    :raises NoAuthException: none has.
    """
    if not permits(acls, permission, identities):
        raise NoAuthException(path=path)


def shown_to(acls: Sequence[ACL], identities: Sequence[Identity]) -> list[ACL]:
    """Give the list as ``identities`` may see it: the hashes of passwords are for those who may change it."""
    if permits(acls, Permission.ADMIN, identities):
        return list(acls)
    return [acl._replace(identity=re.sub(":.*", ":x", acl.identity)) if acl.scheme == "digest" else acl for acl in acls]


def _is_valid(acl: ACL) -> bool:
    if acl.scheme == "world":
        return acl.identity == "anyone"
    if acl.scheme == "digest":
        # Java's split forgets empty parts at the end, but not at the start.
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
    """Take ``a.b.c.d/bits`` apart: the address as a number, and how many of its low bits do not matter."""
    host, slash, bits = text.partition("/")
    parts = host.split(".")
    numbers = [*parts, bits] if slash else [*parts, "32"]
    if len(parts) != 4 or not all(map(_NUMBER.fullmatch, numbers)):
        return None
    *octets, significant = map(int, numbers)
    if not (all(0 <= octet <= 255 for octet in octets) and 0 <= significant <= 32):
        return None
    return int.from_bytes(bytes(octets), "big"), 32 - significant
