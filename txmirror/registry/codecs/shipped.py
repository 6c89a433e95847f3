"""The codecs that are part of this package."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from txmirror.errors import UnsupportedInstanceError
from txmirror.interfaces import IInstanceCodec
from txmirror.registry.codecs.curator import CURATOR, SPRING, in_curators_order, time_fact
from txmirror.registry.codecs.json_codec import Additions, JSONCodec, Names, Texts, facts_first
from txmirror.registry.codecs.nerve import NERVE, from_base64_name, to_base64_name
from txmirror.registry.codecs.parts import EXTRAS, PROCESS, process_facts, process_first
from txmirror.registry.codecs.plain import PlainCodec
from txmirror.registry.codecs.serverset import MEMBER, SERVERSET

_HOST_AND_PORT = re.compile(r"[^:]+:[0-9]+")


def _check_zczk_name(name: str) -> None:
    # The readers split it at each colon.
    if _HOST_AND_PORT.fullmatch(name) is None:
        reason = "the name of its node is not host:port, and an IPv6 address has too many colons"
        raise UnsupportedInstanceError(reason, key="name")


#: nd_service_registry's. ``pid`` and ``created`` come first.
_NDSR = JSONCodec("ndsr", (PROCESS, EXTRAS), Texts(strip=True, no_data=None), Additions(process_facts, process_first))
#: zc.zk's. ``pid`` comes last, and there is no time.
_ZCZK = JSONCodec(
    "zczk",
    (attrs.evolve(PROCESS, check_name=_check_zczk_name), EXTRAS),
    Texts(strip=False, no_data={}),
    Additions(lambda pid, created: {"pid": pid}, facts_first),
)
_NERVE = JSONCodec("nerve", (NERVE,), names=Names("{host}_{number}", to_record=from_base64_name))
_NERVE_BASE64 = attrs.evolve(_NERVE, name="nerve-base64", names=attrs.evolve(_NERVE.names, from_record=to_base64_name))
_SERVERSET = JSONCodec("serverset", (MEMBER,), names=Names("member_{number}"))
_CURATOR = JSONCodec(
    "curator",
    (CURATOR,),
    additions=Additions(time_fact, in_curators_order),
    names=Names("{uuid}"),
    shares_parent=False,
    takes_facts=False,
)
_CURATOR_SPRING = attrs.evolve(_CURATOR, name="curator-spring", parts=(SPRING,))
#: One object for the readers of three formats, whose keys are different, and which ignore other keys.
_MERGED = JSONCodec(
    "merged", (PROCESS, NERVE, SERVERSET), Texts(strip=True, no_data=None), Additions(process_facts, process_first)
)

#: The codecs of this package, by name.
CODECS: Mapping[str, IInstanceCodec] = {
    codec.name: codec
    for codec in (
        _NDSR,
        _ZCZK,
        _NERVE,
        _NERVE_BASE64,
        _SERVERSET,
        _CURATOR,
        _CURATOR_SPRING,
        PlainCodec(),
        _MERGED,
    )
}
