"""What `check` reads of this machine: kernel, module, settings, namespaces, containers, firewall.

Everything is read from files, under a root that tests choose, and nothing is changed. What cannot be read is
None or empty: this must work anywhere.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .machine_tables import SYSCTLS

__all__ = ["Kernel", "Machine", "Module"]

MODPROBE_DIRECTORIES = (
    "etc/modprobe.d",
    "run/modprobe.d",
    "usr/local/lib/modprobe.d",
    "usr/lib/modprobe.d",
    "lib/modprobe.d",
)
_BLACKLIST = re.compile(r"^\s*(?:blacklist\s+sctp\s*$|install\s+sctp\s+\S*(?:true|false|echo))", re.MULTILINE)
_BOOT_BLACKLIST = re.compile(r"(?:module_blacklist|modprobe\.blacklist)=(?:\S*,)?sctp(?:,|\s|$)")


class Kernel(NamedTuple):
    """A kernel: its `release` as uname has it, and the `version` of the source, which distributions hide.

    `distribution` says whose it is, "" if that is not known: such a kernel may have fixes of later versions.
    """

    release: str
    version: tuple[int, int, int] | None
    distribution: str


class Module(NamedTuple):
    """The kernel's module: `state` is "built in", "loaded", "loadable" or "missing".

    `blacklisted` names the files, or the kernel's command line, that keep it from being loaded by itself.
    """

    state: str
    blacklisted: tuple[str, ...]


class Machine:
    """Reads; `root` is "/"."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def text(self, path: str) -> str | None:
        """Return the text of a file, None if it cannot be read."""
        try:
            return (self._root / path).read_text(errors="replace")
        except OSError:
            return None

    def kernel(self) -> Kernel:
        """Return which kernel runs."""
        release = (self.text("proc/sys/kernel/osrelease") or os.uname().release).strip()
        build = self.text("proc/sys/kernel/version") or ""
        if found := re.search(r"Debian (\d+)\.(\d+)\.(\d+)", build):
            return Kernel(release, _triple(found), "Debian")
        if found := re.search(r"Ubuntu \S+ (\d+)\.(\d+)\.(\d+)", self.text("proc/version_signature") or ""):
            return Kernel(release, _triple(found), "Ubuntu")
        plain = re.match(r"(\d+)\.(\d+)\.(\d+)", release)
        owner = re.search(r"\.(el\d+|fc\d+|amzn\d+)|(azure|aws|gcp|cloud|generic)", release)
        return Kernel(release, _triple(plain) if plain else None, (owner[1] or owner[2]) if owner else "")

    def module(self) -> Module:
        """Return how the kernel has its module."""
        release = self.kernel().release
        places = [f"{top}/{release}" for top in ("lib/modules", "usr/lib/modules")]
        if re.search(r"^sctp ", self.text("proc/modules") or "", re.MULTILINE):
            state = "loaded"
        elif any("/sctp.ko" in (self.text(f"{place}/modules.builtin") or "") for place in places):
            state = "built in"
        elif any("/sctp.ko" in (self.text(f"{place}/modules.dep") or "") for place in places):
            state = "loadable"
        else:
            # Compiled in, it is in no list; its settings tell.
            state = "built in" if (self._root / "proc/sys/net/sctp").is_dir() else "missing"
        return Module(state, tuple(self._blacklisted()))

    def _blacklisted(self) -> Iterator[str]:
        seen = set()
        for directory in MODPROBE_DIRECTORIES:
            for path in sorted((self._root / directory).glob("*.conf")):
                if path.resolve() not in seen and _BLACKLIST.search(
                    self.text(str(path.relative_to(self._root))) or ""
                ):
                    seen.add(path.resolve())
                    yield f"/{path.relative_to(self._root)}"
        if _BOOT_BLACKLIST.search(self.text("proc/cmdline") or ""):
            yield "the kernel's command line"

    def sysctls(self) -> dict[str, str]:
        """Return the settings that matter, as this network namespace has them, as far as there are any."""
        found = {row.name: self.text(f"proc/sys/{row.name.replace('.', '/')}") for row in SYSCTLS}
        return {name: " ".join(value.split()) for name, value in found.items() if value is not None}

    def settings_are_writable(self) -> bool:
        """Return whether settings can be changed from here at all, by whoever is root."""
        mounts = re.findall(r"^\S+ (/proc\S*) \S+ (\S+)", self.text("proc/mounts") or "", re.MULTILINE)
        # The last mount over a directory counts.
        over = [options for place, options in mounts if place in ("/proc", "/proc/sys")]
        return not over or "ro" not in over[-1].split(",")

    def container(self) -> str:
        """Return in what kind of container this process runs, "" if in none that it can tell."""
        if (self._root / "run/.containerenv").exists():
            return "podman"
        if (self._root / ".dockerenv").exists():
            return "docker"
        if (self._root / "var/run/secrets/kubernetes.io").exists():
            return "kubernetes"
        found = re.search(r"container=([\w-]+)", (self.text("proc/1/environ") or "").replace("\0", "\n"))
        return found[1] if found else ""

    def own_user_namespace(self) -> bool:
        """Return whether the user ids here are not those of the host."""
        return (self.text("proc/self/uid_map") or "0 0 4294967295").split() != ["0", "0", "4294967295"]

    def network_namespace(self) -> str:
        """Return whether the network is that of process 1: "shared" or "own"; "unknown" if that is hidden."""
        try:
            own, first = ((self._root / f"proc/{who}/ns/net").readlink() for who in ("self", "1"))
        except OSError:
            return "unknown"
        return "shared" if own == first else "own"

    def packet_filters(self) -> tuple[str, ...]:
        """Return which packet filters the kernel has loaded; what they do takes root to see."""
        modules = self.text("proc/modules") or ""
        names = {"nf_tables": "nftables", "ip_tables": "iptables", "nf_conntrack": "connection tracking"}
        return tuple(
            name for module, name in names.items() if re.search(rf"^{module} ", modules, re.MULTILINE)
        )

    def ruleset(self) -> str | None:
        """Return the rules of nftables as root sees them, None if they cannot be read."""
        if os.geteuid() or not (
            program := shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        ):
            return None
        try:
            done = subprocess.run(
                [program, "list", "ruleset"], capture_output=True, text=True, timeout=5, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None


def _triple(found: re.Match[str]) -> tuple[int, int, int]:
    return int(found[1]), int(found[2]), int(found[3])
