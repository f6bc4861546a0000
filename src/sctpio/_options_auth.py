"""Options of authenticated chunks (RFC 4895): which chunks, which algorithms, which keys."""

from __future__ import annotations

from typing import Annotated

from ._dataclass import dataclass
from ._option import U16, Number16, Option, Toggle
from ._rules import Integer, Member, Secret, Several
from .events import OpenIntEnum

__all__ = [
    "AuthActiveKey",
    "AuthChunk",
    "AuthDeactivateKey",
    "AuthDeleteKey",
    "AuthKey",
    "AuthSupported",
    "HmacIdentifier",
    "HmacIdentifiers",
    "LocalAuthChunks",
    "PeerAuthChunks",
]

# RFC 4895 section 3.2: INIT, INIT ACK, SHUTDOWN COMPLETE and AUTH are never authenticated.
_NEVER_AUTHENTICATED = (1, 2, 14, 15)


class HmacIdentifier(OpenIntEnum):
    """An algorithm that authenticates (RFC 4895 section 3.3)."""

    SHA1 = 1
    SHA256 = 3


class AuthSupported(Toggle):
    """Whether chunks can be authenticated (SCTP_AUTH_SUPPORTED, RFC 4895; Linux 5.4).

    Set it on both ends before the association is made.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class AuthChunk(Option):
    """One more type of chunk that peers must authenticate (SCTP_AUTH_CHUNK, RFC 6458 8.3.2). Write only.

    The type's number (RFC 9260 section 3.2), 0 for DATA; not INIT, INIT ACK, SHUTDOWN COMPLETE or AUTH. For
    associations to come; at most 20 types. Without `AuthSupported` it is EACCES, as all of these options.
    """

    chunk: Annotated[int, Integer(0, 255, _NEVER_AUTHENTICATED)]


@dataclass(frozen=True, slots=True)
class HmacIdentifiers(Option):
    """The algorithms that the peer may use, the preferred one first (SCTP_HMAC_IDENT, RFC 6458 8.1.17).

    One to four, with SHA1 among them, as RFC 4895 asks; for associations to come. One that the stack does not
    have is EOPNOTSUPP, on usrsctp EINVAL; Debian's build of it has SHA1 alone.
    """

    identifiers: Annotated[tuple[HmacIdentifier, ...], Several(Member(HmacIdentifier), 1, 4)]

    def __post_init__(self) -> None:
        Option.__post_init__(self)
        if HmacIdentifier.SHA1 not in self.identifiers:
            raise ValueError(
                f"HmacIdentifiers: identifiers={self.identifiers!r}; accepted: what has HmacIdentifier.SHA1"
            )


@dataclass(frozen=True, slots=True)
class AuthKey(Option):
    """A shared key of 1 to 65535 bytes, under a number (SCTP_AUTH_KEY, RFC 6458 8.3.3). Write only.

    It replaces a key of that number. It is used from `AuthActiveKey` on, or by messages that name it. Number
    0 is there from the beginning, as an empty key.
    """

    number: Number16
    key: Annotated[bytes, Secret(1, U16)]

    def __repr__(self) -> str:
        # The key is for no log.
        return f"{type(self).__qualname__}(number={self.number!r})"


@dataclass(frozen=True, slots=True)
class AuthActiveKey(Option):
    """The number of the key that is used for sending (SCTP_AUTH_ACTIVE_KEY, RFC 6458 8.1.18).

    A number without a key is EINVAL.
    """

    number: Number16 = None


@dataclass(frozen=True, slots=True)
class AuthDeactivateKey(Option):
    """Use a key no more for sending (SCTP_AUTH_DEACTIVATE_KEY, RFC 6458 8.3.4; Linux 4.17). Write only.

    When nothing that was sent needs it any more, an AuthenticationEvent (FREE_KEY) tells. The active key, or
    a number without a key, is EINVAL.
    """

    number: Number16


@dataclass(frozen=True, slots=True)
class AuthDeleteKey(Option):
    """Forget a key (SCTP_AUTH_DELETE_KEY, RFC 6458 8.3.5). Write only.

    The active key, or a number without a key, is EINVAL.
    """

    number: Number16


@dataclass(frozen=True, slots=True)
class PeerAuthChunks(Option):
    """The chunks that the peer wants authenticated (SCTP_PEER_AUTH_CHUNKS, RFC 6458 8.2.3). Read only.

    The numbers of the types.
    """

    chunks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LocalAuthChunks(Option):
    """The chunks that peers must authenticate (SCTP_LOCAL_AUTH_CHUNKS, RFC 6458 8.2.4). Read only.

    The numbers of the types: what `AuthChunk` set, and those that `AsconfSupported` needs.
    """

    chunks: tuple[int, ...]
