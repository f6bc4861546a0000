"""The targets: limits of a ratio or of a size, and what sctpio has of them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from cases import (
    BASE,
    ECHO,
    IDLE_PYTHON,
    IMPORT,
    PYSCTP,
    SCTPIO,
    SCTPIO_BATCHES,
    SCTPIO_BUNDLES,
    STDLIB,
    TCP,
    C,
    of_associations,
    of_size,
)
from figures import (
    Figure,
    Measure,
    Record,
    client_bytes,
    milliseconds,
    p50,
    receive_cpu,
    send_cpu,
    server_bytes,
)

Records = Mapping[str, Record]
GUEST, BARE_HOST = "6.12", "usrsctp"
DIRECTIONS: tuple[tuple[str, Measure], ...] = (("receive", receive_cpu), ("send", send_cpu))


@dataclass(frozen=True)
class Target:
    """A limit, and how to find what is to keep it."""

    what: str
    limit: float
    unit: str
    find: Callable[[Records], Figure | None]


def _ratio(
    what: str,
    limit: float,
    case: str,
    contender: str,
    measure: Measure,
    to: str = C,
    to_case: str | None = None,
) -> Target:
    """Limit what a contender takes, as a ratio to another one or to itself in another case."""

    def find(records: Records) -> Figure | None:
        return records[GUEST].ratio(case, contender, measure, to, to_case) if GUEST in records else None

    return Target(what, limit, "", find)


def _size(
    what: str, limit: float, unit: str, place: str, case: str, contender: str, measure: Measure
) -> Target:
    def find(records: Records) -> Figure | None:
        return records[place].figure(case, contender, measure) if place in records else None

    return Target(what, limit, unit, find)


def targets() -> Iterator[Target]:
    """List them."""
    yield _ratio("receive CPU at 64 bytes, `async for`, to C", 1.6, BASE, SCTPIO, receive_cpu)
    yield _ratio("receive CPU at 64 bytes, `receive_many`, to C", 1.4, BASE, SCTPIO_BATCHES, receive_cpu)
    yield _ratio("send CPU at 64 bytes, `send`, to C", 1.2, BASE, SCTPIO, send_cpu)
    yield _ratio(
        "send CPU at 64 bytes, `send_many(bundle=False)`, to C", 1.15, BASE, SCTPIO_BATCHES, send_cpu
    )
    yield _ratio("send CPU at 64 bytes, `send_many`, to C's `send`", 0.6, BASE, SCTPIO_BUNDLES, send_cpu)
    for (direction, measure), to_stdlib, to_pysctp in zip(DIRECTIONS, (0.6, 0.75), (0.4, 0.7), strict=True):
        what = f"{direction} CPU at 64 bytes, to "
        yield _ratio(f"{what}the {STDLIB}", to_stdlib, BASE, SCTPIO, measure, STDLIB)
        yield _ratio(what + PYSCTP, to_pysctp, BASE, SCTPIO, measure, PYSCTP)
    yield _ratio("request and response, p50, to TCP on asyncio streams", 1.0, ECHO, SCTPIO, p50, TCP)
    for size, limits in ((16384, (1.6, 1.05)), (262144, (1.1, 1.0))):
        for (direction, measure), limit in zip(DIRECTIONS, limits, strict=True):
            yield _ratio(f"{direction} CPU at {size} bytes, to C", limit, of_size(size), SCTPIO, measure)
    for mode, limit in (("one", 1.3), ("many", 1.2)):
        for direction, measure in DIRECTIONS:
            what = f"{direction} CPU, 1000 associations (one-to-{mode}), to one association"
            many, one = of_associations(1000, mode), of_associations(1, mode)
            yield _ratio(what, limit, many, SCTPIO, measure, SCTPIO, one)
    for end, measure in (("connected", client_bytes), ("was accepted", server_bytes)):
        what = f"Python memory of an idle `Conn` that {end}"
        yield _size(what, 4096, " bytes", GUEST, IDLE_PYTHON, SCTPIO, measure)
    what = "CPU time of `python -c 'import sctpio'`, with the interpreter's own"
    yield _size(what, 60, " ms", BARE_HOST, IMPORT, "import sctpio", milliseconds)
