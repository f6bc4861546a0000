"""`sctpio check`: what this machine offers, and what stands in the way of SCTP here.

Each finding is one line of what, and one line of how to mend it where something is amiss. What it is made of
is read by `machine`, and known from `machine_tables`; the last word has an association over loopback on each
stack.
"""

import argparse
import asyncio
import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from .. import __version__, available_stacks, capabilities
from ..connecting import connect
from ..errors import UnavailableError
from ..listener import listen
from ..options import Option, UdpEncapsulation
from ..stacks import choose
from ..stacks.usrsctp import udp_ports
from .arguments import seconds
from .exits import Exit, text_of
from .machine import Machine
from .machine_tables import FLOORS_DATE, SYSCTLS, Level, floor_of
from .output import Colour, Output, duration

EXAMPLES = """
examples:
  sctpio check                    what is here, what is not, and what to do about it
  sctpio check --stack kernel     the same, and a failure if the kernel has no SCTP
  sctpio check --json | jq '.findings[] | select(.level == "bad")'
"""

COLOURS = {
    Level.GOOD: Colour.GOOD,
    Level.WARNING: Colour.WARNING,
    Level.BAD: Colour.BAD,
    Level.NOTE: Colour.FAINT,
}


@dataclass(frozen=True)
class Finding:
    """One finding: about what (`area`), how much it matters (`level`), `what` it is, and how to `mend` it."""

    area: str
    level: str
    what: str
    mend: str = ""


@dataclass(frozen=True)
class StackReport:
    """A stack: whether it can be used, which version it is, and what came of a try."""

    name: str
    available: bool
    release: str
    reason: str
    seconds: float | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add its arguments."""
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=5.0,
        metavar="SECONDS",
        help="for the try on each stack (default: 5)",
    )


async def run(arguments: argparse.Namespace, output: Output) -> Exit:
    """Find out and tell."""
    machine = Machine()
    wanted = [arguments.stack] if arguments.stack else ["kernel", "usrsctp"]
    # Before the try on usrsctp, which takes that port.
    findings = [*_kernel(machine), *_udp_port()]
    stacks = [await _try(name, arguments.timeout) for name in wanted]
    usable = [stack for stack in stacks if stack.available]
    findings = [*_stacks(stacks), *findings]
    findings += _settings(machine, kernel="kernel" in available_stacks())
    findings += [*_surroundings(machine), *_packet_filter(machine)]
    if not usable:
        status = Exit.NO_SCTP
    else:
        amiss = any(finding.level in (Level.WARNING, Level.BAD) for finding in findings)
        status = Exit.FOUND if amiss else Exit.DONE
    if output.json:
        output.record(_report(machine, stacks, findings, status))
    else:
        _print(machine, findings, output)
    return status


def _stacks(stacks: list[StackReport]) -> Iterator[Finding]:
    others = any(stack.available for stack in stacks)
    for stack in stacks:
        if not stack.available:
            level = Level.NOTE if others else Level.BAD
            what, _, mend = stack.reason.partition(": ")
            yield Finding("stack", level, f"{stack.name}: not here: {what}", mend or "see `module` below")
        elif stack.seconds is None:
            yield Finding(
                "stack", Level.BAD, f"{stack.name} {stack.release}: {stack.reason}", _hint(stack.name)
            )
        else:
            text = f"{stack.name} {stack.release}: an association over loopback, up, used and shut down"
            yield Finding("stack", Level.GOOD, f"{text} in {duration(stack.seconds)}")


def _hint(stack: str) -> str:
    if stack == "kernel":
        return "look for a packet filter that drops protocol 132 on lo, and into `dmesg`"
    return "look for a packet filter that drops UDP on lo; $SCTPIO_UDP_PORT chooses another port"


async def _try(name: str, limit: float) -> StackReport:
    """Set up an association with this process itself, send a message there and back, and shut it down."""
    try:
        choose(name)
        release = capabilities(name).release
    except (UnavailableError, OSError) as error:
        return StackReport(name, False, "", text_of(error), None)
    began = time.monotonic()
    try:
        async with asyncio.timeout(limit):
            await _association(name)
    except TimeoutError:
        return StackReport(
            name, True, release, f"no association over loopback within {duration(limit)}", None
        )
    except (OSError, EOFError) as error:
        return StackReport(name, True, release, f"no association over loopback: {text_of(error)}", None)
    return StackReport(name, True, release, "", time.monotonic() - began)


async def _association(name: str) -> None:
    async with listen("127.0.0.1:0", stack=name) as listener:
        # Both ends share the UDP port of this process.
        own = udp_ports.settings.started if name == "usrsctp" else None
        over: list[Option] = [UdpEncapsulation(port=own)] if own else []
        async with (
            connect(listener.local_addresses, stack=name, options=over) as conn,
            await listener.accept() as server,
        ):
            await conn.send(b"ping")
            await server.send((await server.receive()).data)
            await conn.receive()
            await conn.shutdown()
            await server.wait_closed()


def _kernel(machine: Machine) -> Iterator[Finding]:
    kernel, module = machine.kernel(), machine.module()
    floor = floor_of(kernel.version) if kernel.version else None
    shown = f"kernel {kernel.release}" + (
        f" ({kernel.distribution}, {_dotted(kernel.version)})"
        if kernel.distribution and kernel.version
        else ""
    )
    if floor is None or kernel.version is None:
        what = f"{shown}: no floor is known for this branch (table of {FLOORS_DATE})"
        yield Finding("kernel", Level.NOTE, what, "see that it is the newest release of its branch")
    elif kernel.version < floor:
        what = f"{shown}: older than {_dotted(floor)}, below which holes of SCTP are open to remote hosts"
        level = Level.NOTE if module.state == "missing" else Level.WARNING
        yield Finding(
            "kernel", level, f"{what} (table of {FLOORS_DATE})", f"update to {_dotted(floor)} or newer"
        )
    else:
        yield Finding("kernel", Level.GOOD, f"{shown}: not below {_dotted(floor)} (table of {FLOORS_DATE})")
    usable = module.state in ("loaded", "built in")
    for place in module.blacklisted:
        level = Level.NOTE if usable else Level.WARNING
        mend = "take it out there, or load it yourself: `modprobe sctp` as root"
        yield Finding("module", level, f"module sctp: kept from loading by {place}", mend)
    match module.state:
        case "missing":
            mend = "install the kernel's extra modules (Fedora, RHEL: kernel-modules-extra), or use usrsctp"
            yield Finding("module", Level.NOTE, "module sctp: this kernel has none", mend)
        case "loadable":
            level = Level.WARNING if module.blacklisted else Level.NOTE
            yield Finding("module", level, "module sctp: there, and not loaded", "`modprobe sctp` as root")
        case state:
            yield Finding("module", Level.GOOD, f"module sctp: {state}")


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def _udp_port() -> Iterator[Finding]:
    try:
        port = next(udp_ports.ports_to_try())
    except (OSError, ValueError) as error:
        text, _, mend = text_of(error).partition(": ")
        yield Finding("udp", Level.WARNING, text, mend or "choose another by $SCTPIO_UDP_PORT")
        return
    if udp_ports.is_chosen() or port == udp_ports.DEFAULT:
        yield Finding("udp", Level.GOOD, f"UDP port {port}, which usrsctp uses, is free")
    else:
        what = f"UDP port {udp_ports.DEFAULT} is taken: peers do not find usrsctp of this process"
        mend = "end who has it (`ss -lunp`; the sysctl net.sctp.udp_port is the kernel), or $SCTPIO_UDP_PORT"
        yield Finding("udp", Level.NOTE, what, mend)


def _settings(machine: Machine, *, kernel: bool) -> Iterator[Finding]:
    values = machine.sysctls()
    writable = machine.settings_are_writable()
    for row in SYSCTLS:
        if row.name not in values:
            continue
        value = values[row.name]
        if row.ill(value):
            mend = f"sysctl -w {row.name}={row.better}"
            if not writable:
                mend += f" (outside: this container cannot; docker run --sysctl {row.name}={row.better})"
            level = row.level if kernel else Level.NOTE
            yield Finding("sysctl", level, f"{row.name}={value}: {row.then}", mend)
        else:
            yield Finding("sysctl", Level.GOOD, f"{row.name}={value}: {row.about}")


def _surroundings(machine: Machine) -> Iterator[Finding]:
    container, module = machine.container(), machine.module().state
    if container:
        what = f"in a container ({container}): the kernel and its modules are the host's"
        mend = "" if module in ("loaded", "built in") else "load the module on the host: `modprobe sctp`"
        yield Finding("container", Level.NOTE, what, mend)
    if machine.own_user_namespace():
        what = "in a user namespace: root here is not root of the host, and loads no module"
        yield Finding("container", Level.NOTE, what, "load the module on the host: `modprobe sctp`")
    if machine.network_namespace() == "own":
        what = "in a network namespace of its own: settings of net.sctp here are not the host's"
        yield Finding("container", Level.NOTE, what, "set them in this namespace")
    if (
        module == "loaded"
        and "net.sctp.udp_port" not in machine.sysctls()
        and "kernel" not in available_stacks()
    ):
        what = "module sctp is loaded, and not to be seen in this network namespace"
        yield Finding(
            "container", Level.WARNING, what, "allow socket(AF_INET, SOCK_STREAM, 132) in its profile"
        )


def _packet_filter(machine: Machine) -> Iterator[Finding]:
    rules = machine.ruleset()
    if rules is not None and "policy drop" in rules and "sctp" not in rules:
        what = "nftables drops what no rule accepts, and no rule names sctp"
        mend = "nft add rule inet filter input meta l4proto sctp accept (name your own table and chain)"
        yield Finding("firewall", Level.WARNING, what, mend)
    elif filters := machine.packet_filters():
        what = f"packet filters are loaded ({', '.join(filters)}): they may drop protocol 132"
        mend = "as root: `nft list ruleset` or `iptables -S`; accept protocol sctp, on every path"
        yield Finding("firewall", Level.NOTE, what, mend)
    else:
        yield Finding("firewall", Level.GOOD, "no packet filter is loaded as a module")


def _report(
    machine: Machine, stacks: list[StackReport], findings: list[Finding], status: Exit
) -> dict[str, Any]:
    kernel, module = machine.kernel(), machine.module()
    features: dict[str, Any] = {}
    for stack in stacks:
        if stack.available:
            with suppress(OSError):
                found = capabilities(stack.name)
                features[stack.name] = {
                    name: getattr(found, name)
                    for name in found.__match_args__
                    if name not in ("stack", "release")
                } | {
                    "options": sorted(kind.__name__ for kind in found.options),
                    "events": sorted(kind.__name__ for kind in found.events),
                }
    return {
        "sctpio": __version__,
        "python": platform.python_version(),
        "status": int(status),
        "stacks": [asdict(stack) for stack in stacks],
        "kernel": kernel._asdict() | {"version": kernel.version and _dotted(kernel.version)},
        "floor": {
            "date": FLOORS_DATE,
            "release": (f := kernel.version and floor_of(kernel.version)) and _dotted(f),
        },
        "module": module._asdict(),
        "sysctls": machine.sysctls(),
        "container": machine.container() or None,
        "network_namespace": machine.network_namespace(),
        "packet_filters": machine.packet_filters(),
        "capabilities": features,
        "findings": [asdict(finding) for finding in findings],
    }


def _print(machine: Machine, findings: list[Finding], output: Output) -> None:
    output.say(
        f"sctpio {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )
    area = ""
    for finding in findings:
        if finding.area != area:
            area = finding.area
            output.say(output.paint(area, Colour.STRONG))
        output.say(f"  {output.paint(f'{finding.level:<7}', COLOURS[finding.level])} {finding.what}")
        if finding.mend:
            output.say(f"  {'':<7}   {output.paint('mend:', Colour.FAINT)} {finding.mend}")
    amiss = sum(finding.level in (Level.WARNING, Level.BAD) for finding in findings)
    output.say(f"{amiss} to mend" if amiss else "nothing to mend")
