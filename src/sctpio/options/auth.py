"""Options about authenticated chunks (RFC 4895): which chunks, which algorithms, which keys.

Without `AuthSupported` on the socket, the others are an OSError (EACCES).
"""

from __future__ import annotations

from typing import Annotated

from .._value import dataclass
from ..events import OpenIntEnum
from .base import U16, Integer, Member, Number16, Option, Secret, Several, Toggle

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
    """An algorithm that chunks are authenticated with (RFC 4895 section 3.3)."""

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

    `chunk` is the number of the type (RFC 9260 section 3.2), 0 for DATA; INIT, INIT ACK, SHUTDOWN COMPLETE
    and AUTH are refused. It counts for associations that have not begun, for up to 20 types.
    """

    chunk: Annotated[int, Integer(0, 255, _NEVER_AUTHENTICATED)]


@dataclass(frozen=True, slots=True)
class HmacIdentifiers(Option):
    """The algorithms that the peer may use, the preferred one first (SCTP_HMAC_IDENT, RFC 6458 8.1.17).

    One to four of them, with SHA1 among them, as RFC 4895 demands. It counts for associations that have not
    begun. An algorithm that the stack does not have is EOPNOTSUPP (usrsctp: EINVAL, and Debian's build of it
    has SHA1 only).
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

    `number` is from 0 to 65535; a key that has it is replaced. The key is used once `AuthActiveKey` names
    it, or for messages that are sent with its number as `auth_key`. Key 0 exists from the beginning, and is
    empty.
    """

    number: Number16
    key: Annotated[bytes, Secret(1, U16)]

    def __repr__(self) -> str:
        # Without the key, which must not get into a log.
        return f"{type(self).__qualname__}(number={self.number!r})"


@dataclass(frozen=True, slots=True)
class AuthActiveKey(Option):
    """The number of the key that chunks are sent with (SCTP_AUTH_ACTIVE_KEY, RFC 6458 section 8.1.18).

    A number that no key has is EINVAL.
    """

    number: Number16 = None


@dataclass(frozen=True, slots=True)
class AuthDeactivateKey(Option):
    """Send no more with a key (SCTP_AUTH_DEACTIVATE_KEY, RFC 6458 section 8.3.4; Linux 4.17). Write only.

    An `AuthenticationEvent` (FREE_KEY) says when nothing that was sent needs the key any more. The active key
    is EINVAL, and so is a number that no key has.
    """

    number: Number16


@dataclass(frozen=True, slots=True)
class AuthDeleteKey(Option):
    """Forget a key (SCTP_AUTH_DELETE_KEY, RFC 6458 section 8.3.5). Write only.

    The active key is EINVAL, and so is a number that no key has.
    """

    number: Number16


@dataclass(frozen=True, slots=True)
class PeerAuthChunks(Option):
    """The chunks that the peer demands authenticated (SCTP_PEER_AUTH_CHUNKS, RFC 6458 8.2.3). Read only.

    `chunks` are the numbers of their types.
    """

    chunks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LocalAuthChunks(Option):
    """The chunks that peers must authenticate (SCTP_LOCAL_AUTH_CHUNKS, RFC 6458 8.2.4). Read only.

    `chunks` are the numbers of their types: those set by `AuthChunk`, and those that `AsconfSupported` needs.
    """

    chunks: tuple[int, ...]
