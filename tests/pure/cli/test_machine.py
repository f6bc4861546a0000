"""What `check` makes of a machine: of files under a root that is made for it."""

import json
from pathlib import Path
from typing import Any

import pytest

from sctpio.cli import check
from sctpio.cli.machine import Machine
from sctpio.cli.machine_tables import FLOORS, FLOORS_DATE, SYSCTLS, Level, floor_of


class Root:
    """A root directory, with the files that a test gives it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.machine = Machine(path)

    def write(self, **files: str) -> None:
        for name, text in files.items():
            self.put(name.replace("__", "/"), text)

    def put(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = Root(tmp_path)
    made.put("proc/sys/kernel/osrelease", "6.1.0-40-amd64\n")
    return made


@pytest.mark.parametrize(
    ("release", "build", "version", "distribution"),
    [
        ("6.1.190", "#1 SMP", (6, 1, 190), ""),
        ("6.1.0-40-amd64", "#1 SMP Debian 6.1.153-1 (2025-09-20)", (6, 1, 153), "Debian"),
        ("5.14.0-503.el9.x86_64", "#1 SMP", (5, 14, 0), "el9"),
        ("next", "", None, ""),
    ],
)
def test_the_version_of_a_kernel(
    root: Root, release: str, build: str, version: tuple[int, ...] | None, distribution: str
) -> None:
    root.put("proc/sys/kernel/osrelease", f"{release}\n")
    root.put("proc/sys/kernel/version", build)
    kernel = root.machine.kernel()
    assert (kernel.release, kernel.version, kernel.distribution) == (release, version, distribution)


def test_the_version_behind_ubuntus_release(root: Root) -> None:
    root.put("proc/sys/kernel/osrelease", "6.8.0-50-generic\n")
    root.put("proc/version_signature", "Ubuntu 6.8.0-50.51-generic 6.8.12\n")
    assert root.machine.kernel()[1:] == ((6, 8, 12), "Ubuntu")


def kernel_findings(root: Root) -> list[check.Finding]:
    return list(check._kernel(root.machine))


@pytest.mark.parametrize(("patch", "level"), [(-1, Level.WARNING), (0, Level.GOOD), (1, Level.GOOD)])
@pytest.mark.parametrize("branch", FLOORS)
def test_a_kernel_below_the_floor_is_a_finding(
    root: Root, branch: tuple[int, int], patch: int, level: str
) -> None:
    release = (*branch, FLOORS[branch] + patch)
    root.put("proc/sys/kernel/osrelease", ".".join(map(str, release)))
    root.put("proc/modules", "sctp 1 2\n")
    finding = kernel_findings(root)[0]
    assert finding.level == level
    assert FLOORS_DATE in finding.what
    assert bool(finding.mend) == (level == Level.WARNING)
    assert floor_of(release) == (*branch, FLOORS[branch])


def test_a_branch_that_the_table_does_not_have_is_only_noted(root: Root) -> None:
    root.put("proc/sys/kernel/osrelease", "5.10.3")
    assert kernel_findings(root)[0].level == Level.NOTE


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({"proc/modules": "nf_tables 1 2\nsctp 401408 4 - Live\n"}, "loaded"),
        ({"proc/modules": "sctp_diag 1 2\n"}, "missing"),
        (
            {"lib/modules/6.1.0-40-amd64/modules.dep": "kernel/net/sctp/sctp.ko.xz: kernel/lib/crc.ko\n"},
            "loadable",
        ),
        ({"usr/lib/modules/6.1.0-40-amd64/modules.builtin": "kernel/net/sctp/sctp.ko\n"}, "built in"),
        ({"lib/modules/5.0/modules.dep": "kernel/net/sctp/sctp.ko:\n"}, "missing"),
        ({"proc/sys/net/sctp/rto_min": "1000\n"}, "built in"),
    ],
)
def test_how_the_kernel_has_its_module(root: Root, files: dict[str, str], state: str) -> None:
    for name, text in files.items():
        root.put(name, text)
    assert root.machine.module().state == state


@pytest.mark.parametrize(
    ("name", "text", "blacklisted"),
    [
        ("etc/modprobe.d/rare.conf", "# rare\nblacklist  sctp\n", True),
        ("lib/modprobe.d/cis.conf", "install sctp /bin/true\n", True),
        ("etc/modprobe.d/cis.conf", "install sctp /usr/bin/false\n", True),
        ("etc/modprobe.d/other.conf", "blacklist sctp_diag\n#blacklist sctp\n", False),
        ("etc/modprobe.d/readme", "blacklist sctp\n", False),
        ("proc/cmdline", "quiet module_blacklist=dccp,sctp ro\n", True),
        ("proc/cmdline", "quiet module_blacklist=dccp\n", False),
    ],
)
def test_a_blacklisted_module_is_found_and_the_file_named(
    root: Root, name: str, text: str, blacklisted: bool
) -> None:
    root.put("lib/modules/6.1.0-40-amd64/modules.dep", "kernel/net/sctp/sctp.ko:\n")
    root.put(name, text)
    found = [finding for finding in kernel_findings(root) if "kept from loading" in finding.what]
    assert bool(found) is blacklisted
    if found:
        assert found[0].level == Level.WARNING
        assert ("command line" if name == "proc/cmdline" else f"/{name}") in found[0].what


def test_settings_that_stand_in_the_way_come_with_the_line_to_give(root: Root) -> None:
    root.put("proc/sys/net/core/rmem_max", "212992\n")
    root.put("proc/sys/net/sctp/cookie_hmac_alg", "none\n")
    root.put("proc/sys/net/sctp/rto_min", "100\n")
    found = {
        finding.what.partition("=")[0]: finding for finding in check._settings(root.machine, kernel=True)
    }
    small = found["net.core.rmem_max"]
    assert (small.level, small.mend) == (Level.WARNING, "sysctl -w net.core.rmem_max=1048576")
    assert found["net.sctp.cookie_hmac_alg"].level == Level.BAD
    assert found["net.sctp.rto_min"].level == Level.GOOD
    assert len(found) == 3


def test_settings_that_cannot_be_written_are_for_who_starts_the_container(root: Root) -> None:
    root.put("proc/sys/net/core/rmem_max", "212992\n")
    root.put("proc/mounts", "proc /proc proc rw 0 0\nproc /proc/sys proc ro,nosuid 0 0\n")
    (finding,) = check._settings(root.machine, kernel=True)
    assert "docker run --sysctl net.core.rmem_max=1048576" in finding.mend


@pytest.mark.parametrize("row", [row for row in SYSCTLS if row.better], ids=lambda row: row.name)
def test_the_value_that_is_given_mends(row: Any) -> None:
    assert not row.ill(row.better)
    assert row.then


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        (".dockerenv", "", "docker"),
        ("run/.containerenv", "", "podman"),
        ("proc/1/environ", "TERM=x\0container=lxc\0", "lxc"),
        ("proc/1/environ", "TERM=x\0", ""),
    ],
)
def test_containers(root: Root, name: str, text: str, kind: str) -> None:
    root.put(name, text)
    assert root.machine.container() == kind


def test_a_user_namespace_is_told_from_the_hosts(root: Root) -> None:
    root.put("proc/self/uid_map", "         0          0 4294967295\n")
    assert not root.machine.own_user_namespace()
    root.put("proc/self/uid_map", "0 1000 1\n")
    assert root.machine.own_user_namespace()


def test_packet_filters_are_named(root: Root) -> None:
    assert [finding.level for finding in check._packet_filter(root.machine)] == [Level.GOOD]
    root.put("proc/modules", "nf_tables 1 2\n")
    (finding,) = check._packet_filter(root.machine)
    assert "nftables" in finding.what


def test_a_machine_of_which_nothing_can_be_read_is_no_error(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "nothing")
    assert machine.sysctls() == {}
    assert machine.module().state == "missing"
    assert machine.network_namespace() == "unknown"
    assert list(check._surroundings(machine)) == []
    assert json.dumps(machine.kernel())
