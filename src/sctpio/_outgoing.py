"""What may be sent: the checks of a message before it goes to a stack."""

from collections.abc import Iterable
from contextlib import suppress
from typing import TypeAlias, TypedDict

from ._codec import PR_PRIO, PR_RTX, PR_TTL
from .address import AddressLike
from .errors import StreamOutOfRangeError
from .options import DefaultPrInfo, Option
from .stacks.base import Buffer, StackSocket

U32 = 0xFFFFFFFF


# A PR-SCTP policy and its value.
Policy: TypeAlias = tuple[int, int]


class SendOptions(TypedDict, total=False):
    """The options of `Conn.send` that `Stream.send` hands on."""

    unordered: bool
    lifetime: float | None
    max_retransmissions: int | None
    priority: int | None
    context: int
    path: AddressLike | None
    sack_immediately: bool
    auth_key: int | None


def payload(data: Buffer) -> Buffer:
    """Check a message's data; `len` of the result is its bytes."""
    if isinstance(data, memoryview):
        data = data.cast("B") if data.contiguous else data.tobytes()
    elif not isinstance(data, bytes | bytearray):
        raise TypeError(f"a message is bytes, bytearray or memoryview, not {type(data).__name__}")
    if not data:
        raise ValueError("an SCTP message has at least one byte (RFC 9260 3.3.1); this one is empty")
    return data


def check_numbers(stream: int, ppid: int, context: int, limit: int) -> None:
    """Check the numbers of a message; the association has `limit` outbound streams."""
    if not isinstance(ppid, int) or not isinstance(context, int) or not isinstance(stream, int):
        raise TypeError(f"stream, ppid and context are numbers, not {stream!r}, {ppid!r}, {context!r}")
    if not 0 <= stream < limit:
        raise StreamOutOfRangeError(stream, limit)
    if not 0 <= ppid <= U32:
        raise ValueError(f"ppid is {ppid!r}; it takes a number from 0 to {U32}")
    if not 0 <= context <= U32:
        raise ValueError(f"context is {context!r}; it takes a number from 0 to {U32}")


def key_number(auth_key: int | None) -> int:
    """Give the number of a shared key, -1 for the association's active one (RFC 4895)."""
    if auth_key is None:
        return -1
    if not 0 <= auth_key <= 0xFFFF:
        raise ValueError(f"auth_key is {auth_key!r}; it takes a number from 0 to 65535")
    return auth_key


def policy_of(lifetime: float | None, max_retransmissions: int | None, priority: int | None) -> Policy | None:
    """Give the PR-SCTP policy (RFC 3758, RFC 7496) that was chosen; at most one may be."""
    given = {
        "lifetime": lifetime,
        "max_retransmissions": max_retransmissions,
        "priority": priority,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) > 1:
        raise ValueError(f"a message has one policy at most; given are {', '.join(chosen)}")
    if lifetime is not None:
        if not 0 < lifetime <= U32 / 1000:
            raise ValueError(f"lifetime is {lifetime!r}; it takes seconds above 0, at most {U32 / 1000}")
        return PR_TTL, max(1, round(lifetime * 1000))
    for name, number in (("max_retransmissions", PR_RTX), ("priority", PR_PRIO)):
        if name in chosen:
            value = chosen[name]
            if not 0 <= value <= U32:
                raise ValueError(f"{name} is {value!r}; it takes a number from 0 to {U32}")
            return number, int(value)
    return None


def default_policy(options: Iterable[Option]) -> Policy | None:
    """Give the policy of a send that does not say, as the last of these options has it.

    The kernel applies the policy that SCTP_DEFAULT_PRINFO sets to messages without SCTP_SNDINFO only; of the
    others it takes the number for a lifetime. So each message names the policy.
    """
    found = None
    for option in options:
        if isinstance(option, DefaultPrInfo):
            lifetime = option.lifetime or None
            found = policy_of(lifetime, option.max_retransmissions, option.priority)
    return found


def policy_in_stack(raw: StackSocket, association_id: int) -> Policy | None:
    """Ask the stack for the policy of an association that may have begun with another one than ours."""
    with suppress(OSError):
        return default_policy([raw.get_option(DefaultPrInfo, association_id, None)])
    # It is over, or the kernel is too old to have one.
    return None
