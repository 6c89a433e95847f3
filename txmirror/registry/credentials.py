"""The credentials of a registry, and the access control list that they imply."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.errors import AuthFailedException
from txmirror.mirror import Mirror
from txmirror.printable import is_utf8
from txmirror.types import ACL, READ_ACL, digest_acl


class Credentials:
    """A user's name and password, for the scheme ``digest``. Either may be missing for a time.

    :param username: the name; None if it is missing.
    :param password: the password; None if it is missing.
    :param acl: the access control list of new nodes; None for one that follows from the user.
    :raises TypeError: an argument is of a wrong type.
    :raises ValueError: an argument is invalid; the message quotes it, unless it is the password.
    """

    _log = Logger()

    def __init__(self, username: str | None, password: str | None, acl: Sequence[ACL] | None) -> None:
        self._username = _checked_user(username)
        self._password = _checked_password(password)
        for each in acl or ():
            if not isinstance(each, ACL):
                raise TypeError(f"acl has {each!r:.60}: not an ACL")
        self._given_acl = None if acl is None else tuple(acl)

    @property
    def username(self) -> str | None:
        """The user's name."""
        return self._username

    @property
    def password(self) -> str | None:
        """The password."""
        return self._password

    def set_username(self, username: str | None) -> bool:
        """Change the user's name; return whether it differs."""
        former, self._username = self._username, _checked_user(username)
        return self._username != former

    def set_password(self, password: str | None) -> bool:
        """Change the password; return whether it differs."""
        former, self._password = self._password, _checked_password(password)
        return self._password != former

    @property
    def complete(self) -> bool:
        """True if there are both a name and a password."""
        return self._username is not None and self._password is not None

    def acl(self) -> Sequence[ACL] | None:
        """Return the access control list of new nodes; None for one that is open to everybody."""
        if self._given_acl is not None:
            return self._given_acl
        if self._username is None or self._password is None:
            return None
        return (digest_acl(self._username, self._password), *READ_ACL)

    def authenticate(self, mirror: Mirror) -> Deferred[None]:
        """Send the credentials. They must be complete.

        :returns: fires and fails as :meth:`txmirror.mirror.Mirror.add_auth`.
        """

        def refused(failure: Failure) -> Failure:
            if isinstance(failure.value, AuthFailedException):
                self._log.error(
                    "Authentication failed: ZooKeeper refuses the credentials of {username!r}. Only nodes that are open to"
                    " everybody can be read.",
                    username=self._username,
                )
            return failure

        return mirror.add_auth("digest", f"{self._username}:{self._password}".encode()).addErrback(refused)


def _checked_user(username: str | None) -> str | None:
    if username is not None and not isinstance(username, str):
        raise TypeError(f"a user's name is a str, not {username!r:.60}")
    if username is not None and (not username or ":" in username):
        raise ValueError(f"a user's name has letters and no colon: {username!r}")
    if username is not None and not is_utf8(username):
        raise ValueError(f"a user's name cannot be sent as UTF-8: {username!r}")
    return username


def _checked_password(password: str | None) -> str | None:
    # Errors are logged, so they do not quote the password.
    if password is not None and not isinstance(password, str):
        raise TypeError(f"a password is a str, not {type(password).__name__}")
    if password is not None and not is_utf8(password):
        raise ValueError("this password cannot be sent as UTF-8")
    return password
