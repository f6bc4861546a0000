"""What is measured, of whom, and where: the places, the contenders, the cases.

Every contender does the base cases (64 bytes, one association, one stream); then one thing at a time varies,
for the contenders that a reader chooses between.
"""

from collections.abc import Iterator
from dataclasses import dataclass

PYTHON = "python"  # stands for the interpreter that runs the benchmarks
BUILT = "build/bench"  # of the checkout: what is compiled or installed for the benchmarks alone

ROUNDS, QUICK_ROUNDS = 5, 3


@dataclass(frozen=True)
class Contender:
    """A program, and the words that make it this contender."""

    name: str
    command: tuple[str, ...]
    words: str = ""
    # Whether C can be its other end.
    meets_c: bool = True


@dataclass(frozen=True)
class Case:
    """A piece of work: `count` messages, trips or associations in each of the rounds."""

    name: str
    words: str
    contenders: tuple[str, ...]
    count: int = 0
    rounds: int = ROUNDS
    # In processes of its own: what ran before must not show.
    fresh: bool = False
    # Those of a quick run.
    quick: tuple[str, ...] = ()
    # On one CPU a receiver's cost follows its sender's, which decides how many messages a wake-up finds. So C
    # sends where receiving is measured, and receives where sending is.
    beside_c: bool = False
    # Receiving alone is measured.
    receiving: bool = False


@dataclass(frozen=True)
class Place:
    """Where it runs, as tests/guest/run calls it ("" is the bare host), and how much of each work it does."""

    name: str
    title: str
    guest: str
    small: int  # messages up to 1 KiB
    trips: int
    medium: int  # messages of 16 KiB
    large: int  # of 256 KiB
    setups: int
    # A run is given up after so many seconds of the place's own clock.
    seconds: int
    # Its clock counts instructions, one a nanosecond, so that it does not matter what else the host does.
    counted: bool = False
    words: str = ""
    quick: bool = True


# More under way than the UDP socket's buffer holds (net.core.rmem_max is the host's) is lost.
SMALL_SEND_BUFFER = "send_buffer=131072"

COUNTED = "Linux 6.12 under QEMU, one instruction a nanosecond"
PLACES = {
    "6.12": Place("6.12", COUNTED, "6.12", 1000, 150, 200, 20, 20, seconds=600, counted=True),
    "uml": Place("uml", "User-Mode Linux 6.1", "uml", 8000, 1200, 1000, 80, 120, seconds=30, quick=False),
    "usrsctp": Place(
        "usrsctp",
        "usrsctp on the bare host",
        "",
        30000,
        4000,
        3000,
        300,
        400,
        seconds=30,
        words=SMALL_SEND_BUFFER,
    ),
}


def script(name: str) -> tuple[str, str]:
    return PYTHON, f"benchmarks/contenders/{name}.py"


C, C_BATCHES, C_BUNDLES = "C", "C, batches", "C, bundled"
SCTPIO, SCTPIO_BATCHES, SCTPIO_BUNDLES = "sctpio", "sctpio, batches", "sctpio, bundled"
UVLOOP, UVLOOP_BATCHES = "sctpio on uvloop", "sctpio on uvloop, batches"
CONNS = "sctpio, a Conn each"
PYSCTP, STDLIB, PY3_SCTP = "pysctp", "standard library", "py3-sctp"
GO, JAVA = "Go, ishidawataru/sctp", "Java"
RUST, RUST_BATCHES = "Rust, oxirush-sctp", "Rust, oxirush-sctp, batches"
TCP, TCP_UVLOOP = "TCP", "TCP on uvloop"

_SCTPIO = (
    Contender(SCTPIO, script("with_sctpio")),
    Contender(SCTPIO_BATCHES, script("with_sctpio"), "form=batch"),
    Contender(SCTPIO_BUNDLES, script("with_sctpio"), "form=bundle"),
    Contender(UVLOOP, script("with_sctpio"), "loop=uvloop"),
    Contender(UVLOOP_BATCHES, script("with_sctpio"), "loop=uvloop form=batch"),
)
_KERNEL = (
    Contender(C, (f"{BUILT}/plain",)),
    Contender(C_BATCHES, (f"{BUILT}/plain",), "form=batch"),
    Contender(C_BUNDLES, (f"{BUILT}/plain",), "form=bundle"),
    *_SCTPIO,
    Contender(PYSCTP, script("with_pysctp")),
    Contender(STDLIB, script("with_stdlib")),
    Contender(PY3_SCTP, script("with_py3_sctp")),
    Contender(GO, (f"{BUILT}/ishidawataru",)),
    Contender(RUST, (f"{BUILT}/oxirush/release/with_oxirush",)),
    Contender(RUST_BATCHES, (f"{BUILT}/oxirush/release/with_oxirush",), "form=batch"),
    Contender(JAVA, ("java", "-XX:+UseSerialGC", "-cp", f"{BUILT}/nio", "WithNio")),
    Contender(TCP, script("with_tcp"), meets_c=False),
    Contender(TCP_UVLOOP, script("with_tcp"), "loop=uvloop", meets_c=False),
    # One-to-many alone; the others read the one socket.
    Contender(CONNS, script("with_sctpio"), "form=conns"),
)
_USRSCTP = (Contender(C, (f"{BUILT}/plain_usrsctp",)), *_SCTPIO)
# What is started, and how much CPU time that takes.
IMPORTS = {
    "python -c pass": "pass",
    "import asyncio": "import asyncio",
    "import sctpio": "import sctpio",
}


BASE, ECHO, SETUP = "flood, 64 bytes", "echo, 64 bytes", "setup"
IDLE, IDLE_PYTHON, IMPORT = "idle, resident", "idle, Python's", "import"
SIZES, STREAMS, ASSOCIATIONS = (16, 64, 1024, 16384, 262144), (1, 4, 16, 64), (1, 10, 100, 1000)
# How many messages a wake-up finds, and how many there are of each in all.
BURSTS = {1: 100, 8: 400, 32: 960, 100: 2000}


def of_size(size: int) -> str:
    """Name the flood of that size."""
    return f"flood, {size} bytes"


def of_burst(burst: int) -> str:
    """Name the bursts of so many messages."""
    return f"bursts of {burst}, 64 bytes"


def of_streams(streams: int) -> str:
    """Name the flood over so many streams."""
    return BASE if streams == 1 else f"flood, {streams} streams"


def of_associations(associations: int, mode: str) -> str:
    """Name the flood over so many associations."""
    if associations == 1 and mode == "one":
        return BASE
    return f"flood, {associations} associations, one-to-{mode}"


def contenders(place: Place) -> dict[str, Contender]:
    """List who takes part."""
    taking_part = _KERNEL if place.guest else _USRSCTP
    # A Java that is emulated takes minutes to start, and never gets to where it compiles what it runs.
    return {each.name: each for each in taking_part if not (place.counted and each.name == JAVA)}


def cases(place: Place) -> Iterator[Case]:
    """List what they do."""
    everyone = tuple(name for name in contenders(place) if name != CONNS)

    def present(*names: str) -> tuple[str, ...]:
        return tuple(name for name in names if name in everyone)

    few, batches = present(C, SCTPIO, PYSCTP), present(C_BATCHES, C_BUNDLES, SCTPIO_BATCHES, SCTPIO_BUNDLES)
    some = (*few, *batches)
    quick = present(C, C_BUNDLES, SCTPIO, SCTPIO_BATCHES, SCTPIO_BUNDLES, PYSCTP, STDLIB, GO, TCP)
    # The UDP ports of two ends on usrsctp are theirs for good.
    beside_c = bool(place.guest)
    small = place.small
    if not place.guest:
        yield Case(IMPORT, "", tuple(IMPORTS), quick=tuple(IMPORTS))
    yield Case(BASE, "work=flood", everyone, small, quick=quick, beside_c=beside_c)
    yield Case(ECHO, "work=echo", everyone, place.trips, quick=quick)
    if place.counted:
        receivers = present(C, C_BATCHES, SCTPIO, SCTPIO_BATCHES, UVLOOP, UVLOOP_BATCHES, PYSCTP, STDLIB)
        ours = present(C, SCTPIO, SCTPIO_BATCHES)
        for burst, count in BURSTS.items():
            words = f"work=flood burst={burst}"
            yield Case(of_burst(burst), words, receivers, count, quick=ours, beside_c=True, receiving=True)
    yield Case(of_size(16), "work=flood size=16", some, small, beside_c=beside_c)
    yield Case(of_size(1024), "work=flood size=1024", some, small, beside_c=beside_c)
    yield Case(of_size(16384), "work=flood size=16384", few, place.medium, quick=few, beside_c=beside_c)
    # A message larger than the send buffer cannot be sent.
    words = "work=flood size=262144 send_buffer=1048576"
    yield Case(of_size(262144), words, few, place.large, beside_c=beside_c)
    for streams in STREAMS[1:]:
        yield Case(of_streams(streams), f"work=flood streams={streams}", few, small)
    yield Case(SETUP, "work=setup", present(C, SCTPIO, UVLOOP, PYSCTP, TCP), place.setups)
    words = "work=idle associations=101 memory=python"
    others = () if place.counted else present(PYSCTP, TCP)
    # It is the same each time.
    yield Case(IDLE_PYTHON, words, (SCTPIO, *others), rounds=2, fresh=True, quick=(SCTPIO,))
    if not place.guest:
        return
    if not place.counted:
        resident = present(C, SCTPIO, PYSCTP, TCP)
        yield Case(IDLE, "work=idle associations=301", resident, rounds=3, fresh=True)
    for mode in ("one", "many"):
        for associations in ASSOCIATIONS[1 if mode == "one" else 0 :]:
            who = few if associations < 1000 else present(C, SCTPIO)
            if mode == "many":
                who = (*who, CONNS)
            words = f"work=flood mode={mode} associations={associations}"
            yield Case(of_associations(associations, mode), words, who, max(small, 4 * associations))
