"""An association with another's program, in every way that both know."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from peers.programs import Program
from peers.running import PATIENT, PORTS, Started, started
from sctpio import Conn, InitMsg, Mode, connect, listen

SIZES = (1, 1452, 65_536, 200_000)
STREAMS = InitMsg(outbound_streams=10, inbound_streams=10)
WHO = {"listen": "the program", "connect": "sctpio"}


def every_way(
    checked: str | Callable[[Program], str],
    *programs: Program,
    roles: Sequence[str] = tuple(WHO),
    one_to_many: bool = True,
) -> pytest.MarkDecorator:
    """Have a test for each program that listens or connects, and each kind of socket here."""
    return pytest.mark.parametrize(
        ("program", "role", "mode"),
        [
            pytest.param(
                *(program, role, mode),
                id=f"{program.name}-{role}-{mode.value}",
                marks=pytest.mark.peer(
                    program, WHO[role], checked if isinstance(checked, str) else checked(program)
                ),
            )
            for program in programs
            for role in roles
            for mode in Mode
            if one_to_many or mode is Mode.ONE_TO_ONE
        ],
    )


@asynccontextmanager
async def associated(
    program: Program, role: str, mode: Mode, *more: str, typed: bytes | None = None
) -> AsyncIterator[tuple[Conn, Started]]:
    """Start a program that listens or connects, and give the association with it."""
    port = next(PORTS)
    async with asyncio.timeout(PATIENT):
        if role == "connect":
            async with listen(f"127.0.0.1:{port}", mode=mode, init=STREAMS) as listener:
                with started([*program.command(role, port), *more], typed) as other:
                    async with await listener.accept() as conn:
                        yield conn, other
            return
        with started([*program.command(role, port), *more], typed) as other:
            await other.listens(port)
            if mode is Mode.ONE_TO_ONE:
                async with connect(f"127.0.0.1:{port}", init=STREAMS) as conn:
                    yield conn, other
            else:
                async with listen("127.0.0.1:0", mode=mode, init=STREAMS) as calling:
                    async with await calling.connect(f"127.0.0.1:{port}") as conn:
                        yield conn, other
