"""The live instances of a service for a program, and ways to pick one of them."""

from txmirror.discovery.judging import Judge, Where, equals, says
from txmirror.discovery.listing import InstanceList, Listed, ListUser, Verdict
from txmirror.discovery.omissions import Omissions
from txmirror.discovery.picking import STRATEGIES, check_pick
from txmirror.discovery.provider import ServiceProvider, check_limits

__all__ = [
    "STRATEGIES",
    "InstanceList",
    "Judge",
    "ListUser",
    "Listed",
    "Omissions",
    "ServiceProvider",
    "Verdict",
    "Where",
    "check_limits",
    "check_pick",
    "equals",
    "says",
]
