"""Who else speaks SCTP: where each program comes from, how it is started, and what it cannot do.

python -m peers.programs    installs and builds what is missing, as far as it can be had here
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build" / "peers"
MIRRORS = ROOT / "tests" / "peers" / "mirrors"
CONTENDERS = ROOT / "benchmarks" / "contenders"
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"

# PPIDs that packets show: small, of all bytes, and the largest.
SOME_PPIDS = (0, 60, 0x01020304)
PPIDS = (*SOME_PPIDS, 2**32 - 1)


@dataclass(frozen=True)
class Program:
    """One of them."""

    name: str
    needs: str  # what is run: a program's name, or a file
    version: Callable[[], str]
    packages: tuple[str, ...] = ()  # Debian's
    builds: tuple[str, ...] = ()  # how the file is made, in `folder`
    folder: Path = ROOT
    starts: tuple[str, ...] = ()  # what a mirror is run with, before listen|connect PORT
    listens: tuple[str, ...] = ()  # the same of others, with {port}
    connects: tuple[str, ...] = ()
    ppids: tuple[int, ...] = PPIDS
    longest: int = 200_000  # of the messages that it sends back whole

    def __str__(self) -> str:
        return self.name

    @property
    def here(self) -> bool:
        """Whether it can be run."""
        return shutil.which(self.needs, path=PATH) is not None or Path(self.needs).exists()

    def command(self, role: str, port: int) -> list[str]:
        """Give what starts it, to listen or to connect."""
        if self.starts:
            return [*self.starts, role, str(port)]
        return [word.format(port=port) for word in (self.listens if role == "listen" else self.connects)]


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else "?"


def _output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _debian(package: str) -> Callable[[], str]:
    # Without epoch and Debian's revision.
    return lambda: _first(r"(?:\d+:)?([^-+]+)", _output("dpkg-query", "-W", "-f", "${Version}", package))


def _pip(name: str) -> Callable[[], str]:
    def version() -> str:
        found = [path.name for path in (BUILT / name).glob("*.dist-info")]
        return _first(r"-([^-]+)\.dist-info", "".join(found))

    return version


def _written(pattern: str, file: Path) -> Callable[[], str]:
    return lambda: _first(pattern, file.read_text())


def _module(name: str) -> tuple[str, ...]:
    return sys.executable, "-m", f"peers.mirrors.{name}"


def _binding(name: str, module: str) -> Program:
    target = str(BUILT / name)
    return Program(
        name,
        f"{target}/sctp.py",
        _pip(name),
        packages=("libsctp-dev",),
        builds=(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, name),
        starts=_module(f"with_{module}"),
        # It has no PPID whose last byte is 128 or more.
        ppids=SOME_PPIDS if name == "pysctp" else PPIDS,
    )


PYTHON = Program(
    "Python's socket",
    sys.executable,
    lambda: ".".join(map(str, sys.version_info[:3])),
    starts=_module("with_socket"),
)
GO = Program(
    "Go: ishidawataru/sctp",
    str(BUILT / "ishidawataru"),
    _written(r"sctp (v\S+)", CONTENDERS / "ishidawataru/go.mod"),
    builds=("go", "build", "-o", str(BUILT / "ishidawataru"), str(MIRRORS / "mirror.go")),
    folder=CONTENDERS / "ishidawataru",
    starts=(str(BUILT / "ishidawataru"),),
    # It does not tell where a message ends, and larger ones come in pieces.
    longest=65_536,
)
RUST = Program(
    "Rust: oxirush-sctp",
    str(BUILT / "oxirush/release/mirror"),
    _written(r'oxirush-sctp = "=(\S+)"', CONTENDERS / "oxirush/Cargo.toml"),
    builds=(
        *("cargo", "build", "-q", "--release", "--locked", "--bin", "mirror"),
        *("--target-dir", str(BUILT / "oxirush")),
    ),
    folder=CONTENDERS / "oxirush",
    starts=(str(BUILT / "oxirush/release/mirror"),),
)
JAVA = Program(
    "Java: com.sun.nio.sctp",
    str(BUILT / "nio/Mirror.class"),
    lambda: "OpenJDK " + _first(r'version "(\S+)"', _output("java", "-version")),
    packages=("libsctp1",),
    builds=("javac", "-d", str(BUILT / "nio"), str(MIRRORS / "Mirror.java")),
    starts=("java", "-Xint", "-cp", str(BUILT / "nio"), "Mirror"),
)
ERLANG = Program(
    "Erlang: gen_sctp",
    str(BUILT / "erlang/mirror.beam"),
    _debian("erlang-base"),
    packages=("erlang-base",),
    builds=("erlc", "-o", str(BUILT / "erlang"), str(MIRRORS / "mirror.erl")),
    starts=("erl", "-noinput", "-pa", str(BUILT / "erlang"), "-run", "mirror", "main"),
)
SOCAT = Program(
    "socat",
    "socat",
    _debian("socat"),
    ("socat",),
    listens=("socat", "SCTP4-LISTEN:{port},bind=127.0.0.1", "EXEC:cat"),
    connects=("socat", "EXEC:cat", "SCTP4:127.0.0.1:{port}"),
)
NCAT = Program(
    "ncat",
    "ncat",
    _debian("ncat"),
    ("ncat",),
    listens=("ncat", "--sctp", "-l", "127.0.0.1", "{port}", "-e", "/bin/cat"),
    connects=("ncat", "--sctp", "127.0.0.1", "{port}", "-e", "/bin/cat"),
)
SCTP_DARN = Program(
    "lksctp-tools: sctp_darn",
    "sctp_darn",
    _debian("lksctp-tools"),
    ("lksctp-tools",),
    listens=("stdbuf", "-o0", "sctp_darn", "-H", "127.0.0.1", "-P", "{port}", "-l"),
    connects=("sctp_darn", "-H", "127.0.0.1", "-P", "0", "-h", "127.0.0.1", "-p", "{port}", "-s"),
)
SCTP_TEST = Program(
    "lksctp-tools: sctp_test",
    "sctp_test",
    _debian("lksctp-tools"),
    ("lksctp-tools",),
    listens=("sctp_test", "-H", "127.0.0.1", "-P", "{port}", "-l"),
    connects=("sctp_test", "-H", "127.0.0.1", "-P", "0", "-h", "127.0.0.1", "-p", "{port}", "-s"),
)
IPERF3 = Program("iperf3", "iperf3", _debian("iperf3"), ("iperf3",))
QPERF = Program("qperf", "qperf", _debian("qperf"), ("qperf",))
NETPERFMETER = Program("netperfmeter", "netperfmeter", _debian("netperfmeter"), ("netperfmeter",))
OSMO_STP = Program("osmo-stp", "osmo-stp", _debian("osmo-stp"), ("osmo-stp",))
FREEDIAMETER = Program(
    "freeDiameter", "freeDiameterd", _debian("freediameterd"), ("freediameterd", "openssl")
)
USRSCTP_ECHO = Program(
    "usrsctp: echo_server",
    "/usr/lib/usrsctp/echo_server",
    _debian("libusrsctp-examples"),
    ("libusrsctp-examples",),
    listens=("/usr/lib/usrsctp/echo_server", "{port}"),
    longest=10_240,
)
PYCRATE = Program(
    "pycrate: NGAP",
    str(BUILT / "pycrate/pycrate_asn1dir"),
    _pip("pycrate"),
    builds=(sys.executable, "-m", "pip", "install", "-q", "--target", str(BUILT / "pycrate"), "pycrate"),
    starts=_module("ngap"),
)

MIRRORING = (
    PYTHON,
    _binding("pysctp", "pysctp"),
    _binding("py3-sctp", "py3_sctp"),
    GO,
    RUST,
    JAVA,
    ERLANG,
)
ALL = (
    *MIRRORING,
    *(SOCAT, NCAT, SCTP_DARN, SCTP_TEST),
    *(IPERF3, QPERF, NETPERFMETER, OSMO_STP, FREEDIAMETER, USRSCTP_ECHO, PYCRATE),
)
# Wanted, and in no package that an ordinary client of a registry gives.
NOWHERE = {
    "Go: gomaja/go-sctp": "the Go module proxy has no such module",
    "uperf": "Debian has no package of it",
}


def not_had() -> dict[str, str]:
    """Name those that cannot be run here, and why."""
    reasons = dict(NOWHERE)
    for program in ALL:
        if not program.here:
            tool = program.builds[0] if program.builds else ""
            lacks = f"no {tool} here" if tool and shutil.which(tool) is None else f"no {program.needs} here"
            reasons[program.name] = lacks
    return reasons


def install() -> None:
    """Get what is missing; what cannot be had is told, and left to `not_had`."""
    missing = sorted(
        {name for each in ALL if not each.here for name in each.packages if not _installed(name)}
    )
    if missing:
        subprocess.run([str(ROOT / ".ci" / "install"), "peers", *missing], check=False)
    BUILT.mkdir(parents=True, exist_ok=True)
    for program in ALL:
        if program.here or not program.builds or shutil.which(program.builds[0]) is None:
            continue
        print(f"peers: building {program.name}", flush=True)
        Path(program.needs).parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(program.builds, cwd=program.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"peers: this failed: {' '.join(program.builds)}\n{done.stderr[-2000:]}", flush=True)
    for name, why in not_had().items():
        print(f"peers: NOT TO BE HAD: {name}: {why}", flush=True)


def _installed(package: str) -> bool:
    status = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True, check=False
    )
    return "ok installed" in status.stdout


if __name__ == "__main__":
    install()
