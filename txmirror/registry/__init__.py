"""Services that are registered, and found; and what stands in their nodes."""

from txmirror.registry.codecs import CODECS, NDCodec, PlainCodec, ZcZkCodec
from txmirror.registry.registration import Registration, RegistrationState
from txmirror.registry.service_registry import ServiceRegistry

__all__ = ["CODECS", "NDCodec", "PlainCodec", "Registration", "RegistrationState", "ServiceRegistry", "ZcZkCodec"]
