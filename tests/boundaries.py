"""Something happens between two bytecodes: what a signal handler, a finalizer or another thread can do.

`Boundary` counts the bytecodes that the engine room executes meanwhile, and acts before one of them.
A test runs its scenario once for each (`sweep`), until the scenario ends before its boundary comes.

The interpreter itself runs signal handlers and finalizers at fewer places, which differ from version to
version; what holds at every bytecode holds at all of them.
"""

import dis
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, Self

from sctpio import conn, connecting
from sctpio._loop import (
    acceptor,
    association,
    event_stream,
    link,
    own_socket,
    reading,
    records,
    send_share,
    sending,
    shared_socket,
    starvation,
    unread,
    waiting,
)


def files(*modules: ModuleType) -> frozenset[str]:
    """Return the files of modules."""
    return frozenset(str(module.__file__) for module in modules)


# The waiting room itself.
WAITING = files(waiting)
# What tasks run on their way into it and out of it.
WAITERS = WAITING | files(acceptor, conn, connecting, link, reading, sending, starvation)
# What callbacks run, too. Nothing that comes between two bytecodes there reads another batch.
EVERYTHING = WAITERS | files(
    association, event_stream, own_socket, records, send_share, shared_socket, unread
)


# 3.14 has it behind conditional jumps, for its monitoring alone. It does nothing, the interpreter runs
# nothing before it, and tables of exception handlers leave it out.
NOT_TAKEN = dis.opmap.get("NOT_TAKEN")

# Of sys.monitoring: one that neither debuggers nor coverage tools take.
TOOL = 4


class Boundary:
    """Act before bytecode number `at`, counted over the watched files."""

    def __init__(self, at: int, watched: frozenset[str]) -> None:
        self.at = at
        self.action: Callable[[], object] = lambda: None
        self.reached = False
        self.where = ""
        # The function that the boundary is in.
        self.function = ""
        self._count = 0
        self._watched = watched

    def __enter__(self) -> Self:
        if sys.version_info >= (3, 12):
            # There a trace function's wish for opcodes comes too late for a frame that runs already.
            sys.monitoring.use_tool_id(TOOL, "boundary")
            sys.monitoring.register_callback(TOOL, sys.monitoring.events.INSTRUCTION, self._monitor)
            sys.monitoring.set_events(TOOL, sys.monitoring.events.INSTRUCTION)
            sys.monitoring.restart_events()
        else:
            sys.settrace(self._enter_frame)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if sys.version_info >= (3, 12):
            sys.monitoring.set_events(TOOL, 0)
            sys.monitoring.free_tool_id(TOOL)
        else:
            sys.settrace(None)

    # Any: what the interpreter takes from one of these.
    def _monitor(self, code: CodeType, offset: int) -> Any:
        if sys.version_info >= (3, 12):
            if code.co_filename not in self._watched:
                return sys.monitoring.DISABLE
            self._count_one(code, offset)
        return None

    # Any: what the interpreter gives a trace function.
    def _enter_frame(self, frame: FrameType, event: str, arg: Any) -> Any:
        if self.reached or frame.f_code.co_filename not in self._watched:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._step

    def _step(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "opcode":
            self._count_one(frame.f_code, frame.f_lasti)
        return self._step

    def _count_one(self, code: CodeType, offset: int) -> None:
        if self.reached or code.co_code[offset] == NOT_TAKEN:
            return
        if self._count == self.at:
            self.reached = True
            self.function = code.co_qualname
            self.where = f"{Path(code.co_filename).name} ({code.co_qualname} +{offset})"
            self.action()
        self._count += 1


async def sweep(
    scenario: Callable[[Boundary], Awaitable[None]], watched: frozenset[str], *, step: int = 1
) -> int:
    """Run a scenario once for each boundary (each `step`-th); return how many there were."""
    at = 0
    while True:
        boundary = Boundary(at, watched)
        try:
            await scenario(boundary)
        except Exception as error:
            error.add_note(f"boundary {at}, before {boundary.where or 'nothing'}")
            raise
        if not boundary.reached:
            return at
        at += step
