"""Options of both ends, and what tests of extensions look for."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernel.lab import FAST
from sctpio import AssocInfo, Conn, Option, PrAssociationStatus, PrPolicy, PrStreamStatus
from support import PATIENCE

# As FAST, and never given up: outages last as long as the guest's tools take.
STUBBORN: tuple[Option, ...] = (FAST, AssocInfo(max_retransmissions=1000))


@contextlib.contextmanager
def refused(code: int, match: str) -> Iterator[None]:
    """Expect an OSError with this errno, and words about what it needs."""
    with pytest.raises(OSError, match=match) as caught:
        yield
    assert caught.value.errno == code


async def nothing_comes(conn: Conn) -> None:
    """Only time can show that nothing comes."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5 * PATIENCE):
            await conn.receive()


def both(*options: Option) -> dict[str, Any]:
    """Set options at both ends, before the association."""
    return {"listen_with": {"options": options}, "connect_with": {"options": options}}


def sysctl(name: str, value: int) -> None:
    """Set net.sctp.NAME of the namespace that this thread is in."""
    Path("/proc/sys/net/sctp", name).write_text(f"{value}\n")


def given_up(conn: Conn, policy: PrPolicy = PrPolicy.ALL, stream: int | None = None) -> tuple[int, int]:
    """Count what was given up unsent and sent, of a policy, in all or on one stream."""
    status: PrAssociationStatus | PrStreamStatus
    if stream is None:
        status = conn.get_option(PrAssociationStatus(policy))
    else:
        status = conn.get_option(PrStreamStatus(stream, policy))
    assert status.abandoned_unsent is not None
    assert status.abandoned_sent is not None
    return status.abandoned_unsent, status.abandoned_sent
