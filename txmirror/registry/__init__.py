"""The service registry: register and find services, and the codecs for the data of their nodes."""

from txmirror.registry.codecs import (
    CODECS,
    PlainCodec,
    decode_instance,
    decode_payload,
    find_codec,
    with_instances,
)
from txmirror.registry.holding import OutageHold
from txmirror.registry.outcomes import RegistrationState
from txmirror.registry.rates import TokenBucket
from txmirror.registry.registration import Registration
from txmirror.registry.service_node import ServiceNode
from txmirror.registry.service_registry import ServiceRegistry

__all__ = [
    "CODECS",
    "OutageHold",
    "PlainCodec",
    "Registration",
    "RegistrationState",
    "ServiceNode",
    "ServiceRegistry",
    "TokenBucket",
    "decode_instance",
    "decode_payload",
    "find_codec",
    "with_instances",
]
