"""The rows of the Linux table for options about authentication (RFC 4895): see `platform`."""

from __future__ import annotations

from ...options import (
    AuthActiveKey,
    AuthChunk,
    AuthDeactivateKey,
    AuthDeleteKey,
    AuthKey,
    AuthSupported,
    HmacIdentifier,
    HmacIdentifiers,
    LocalAuthChunks,
    Option,
    PeerAuthChunks,
)
from ..columns import Tail, number
from ..layout import Layout
from ..platform import EVERY_SCOPE, OptionSpec
from .structs import extension

__all__ = ["OPTIONS"]

_NEEDS = "AuthSupported on the socket"

_KEY_ID = Layout("sctp_authkeyid", ("scact_assoc_id", "i"), ("scact_keynumber", "H"))


def _key_id(
    kind: type[Option], name: str, option: int, *, rfc: str, since: str, readable: bool = False
) -> OptionSpec:
    """Return the row of an option that names a key by its number."""
    return OptionSpec(
        kind,
        name,
        option,
        _KEY_ID,
        (number("number", "scact_keynumber"),),
        association_member="scact_assoc_id",
        readable=readable,
        rfc=rfc,
        since=since,
        scopes=EVERY_SCOPE,
        needs=_NEEDS,
    )


def _chunks(kind: type[Option], name: str, option: int, *, rfc: str) -> OptionSpec:
    """Return the row of an option that lists types of chunks."""
    return OptionSpec(
        kind,
        name,
        option,
        Layout("sctp_authchunks", ("gauth_assoc_id", "i"), ("gauth_number_of_chunks", "I")),
        (),
        association_member="gauth_assoc_id",
        tail=Tail("chunks", "B", count="gauth_number_of_chunks", space=256),
        writable=False,
        rfc=rfc,
        since="2.6.24",
        needs=_NEEDS,
    )


OPTIONS = (
    OptionSpec(
        AuthChunk,
        "SCTP_AUTH_CHUNK",
        21,
        Layout("sctp_authchunk", ("sauth_chunk", "B")),
        (number("chunk", "sauth_chunk"),),
        readable=False,
        rfc="6458 8.3.2",
        since="2.6.24",
        needs=_NEEDS,
    ),
    OptionSpec(
        HmacIdentifiers,
        "SCTP_HMAC_IDENT",
        22,
        Layout("sctp_hmacalgo", ("shmac_num_idents", "I")),
        (),
        tail=Tail("identifiers", "H", count="shmac_num_idents", kind=HmacIdentifier, space=32),
        rfc="6458 8.1.17",
        since="2.6.24",
        needs=_NEEDS,
    ),
    OptionSpec(
        AuthKey,
        "SCTP_AUTH_KEY",
        23,
        Layout("sctp_authkey", ("sca_assoc_id", "i"), ("sca_keynumber", "H"), ("sca_keylength", "H")),
        (number("number", "sca_keynumber"),),
        association_member="sca_assoc_id",
        tail=Tail("key", count="sca_keylength"),
        readable=False,
        rfc="6458 8.3.3",
        since="2.6.24",
        scopes=EVERY_SCOPE,
        needs=_NEEDS,
    ),
    _key_id(AuthActiveKey, "SCTP_AUTH_ACTIVE_KEY", 24, rfc="6458 8.1.18", since="2.6.24", readable=True),
    _key_id(AuthDeleteKey, "SCTP_AUTH_DELETE_KEY", 25, rfc="6458 8.3.5", since="2.6.24"),
    _chunks(PeerAuthChunks, "SCTP_PEER_AUTH_CHUNKS", 26, rfc="6458 8.2.3"),
    _chunks(LocalAuthChunks, "SCTP_LOCAL_AUTH_CHUNKS", 27, rfc="6458 8.2.4"),
    _key_id(AuthDeactivateKey, "SCTP_AUTH_DEACTIVATE_KEY", 35, rfc="6458 8.3.4", since="4.17"),
    extension(AuthSupported, "SCTP_AUTH_SUPPORTED", 129, rfc="4895", since="5.4"),
)
