"""Build the pinned usrsctp as a static library: `python csrc/pinned_usrsctp.py DIRECTORY`, by $CC and cmake.

`SCTPIO_USRSCTP=DIRECTORY` then builds sctpio with it. Its version, where its source comes from, and the hash
of that are read from usrsctp/sbom.cdx.json, which goes into the wheel. The library's names are hidden and its
code is position-independent, unlike those of distributions' libraries.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

PIN = Path(__file__).parent / "usrsctp" / "sbom.cdx.json"
OPTIONS = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DCMAKE_C_VISIBILITY_PRESET=hidden",
    "-DCMAKE_INSTALL_LIBDIR=lib",
    "-DCMAKE_POLICY_VERSION_MINIMUM=3.5",
    "-DCMAKE_POSITION_INDEPENDENT_CODE=ON",
    "-Dsctp_build_programs=OFF",
    "-Dsctp_werror=OFF",
]


def sources(url: str, version: str) -> Iterator[str]:
    """Yield where the source is: at its project, and beside Debian's package, which is made of that file."""
    yield url
    try:
        command = ["apt-get", "download", "--print-uris", "libusrsctp-dev"]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return
    for quoted in found.split()[:1]:
        yield f"{quoted.strip(chr(39)).rpartition('/')[0]}/libusrsctp_{version}.orig.tar.gz"


def download(url: str, version: str, sha256: str) -> bytes:
    """Return the source, the same bytes wherever it is from."""
    failures = []
    for address in sources(url, version):
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                data: bytes = answer.read()
        except OSError as error:
            failures.append(f"{address}: {error}")
            continue
        if (found := hashlib.sha256(data).hexdigest()) == sha256:
            return data
        failures.append(f"{address}: its SHA-256 is {found}, not {sha256}")
    raise SystemExit("usrsctp: its source cannot be had\n  " + "\n  ".join(failures))


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    target = Path(sys.argv[1]).absolute()
    [pinned] = json.loads(PIN.read_text())["components"]
    [source] = [each for each in pinned["externalReferences"] if each["type"] == "source-distribution"]
    [sha256] = [each["content"] for each in source["hashes"] if each["alg"] == "SHA-256"]
    data = download(source["url"], pinned["version"], sha256)
    with tempfile.TemporaryDirectory() as name:
        tree, build, archive = (Path(name, each) for each in ("source", "build", "source.tar.gz"))
        tree.mkdir()
        archive.write_bytes(data)
        commands: list[list[str | Path]] = [
            ["tar", "-xzf", archive, "-C", tree, "--strip-components=1"],
            ["cmake", "-S", tree, "-B", build, f"-DCMAKE_INSTALL_PREFIX={target}", *OPTIONS],
            ["cmake", "--build", build, "--parallel", str(os.cpu_count() or 1)],
            ["cmake", "--install", build],
        ]
        for command in commands:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(f"{done.stdout}\nusrsctp: this failed: {' '.join(map(str, command))}")
    shutil.copy(PIN, target)
    print(f"usrsctp: version {pinned['version']} is in {target}")


if __name__ == "__main__":
    main()
