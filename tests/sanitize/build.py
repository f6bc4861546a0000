"""Builds the C with the compiler's sanitizers, beside the normal build, under build/sanitize.

Of a stack two things come out: the extension module in a copy of the package, for any test of the project,
and of the kernel's a plain library in which its system calls can be made to answer (`doubles.h`). usrsctp is
linked in as it is: what is instrumented is ours. The accelerator comes out as its extension module.
"""

import contextlib
import os
import runpy
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BUILD = ROOT / "build" / "sanitize"
CC = os.environ.get("CC") or "gcc"

# The kind of the build this process runs with (set by `Sanitizer.assignments`).
VARIABLE = "SCTPIO_SANITIZE"

CFLAGS = ("-std=c11", "-g", "-fPIC", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all")
STRICT = ("-Wall", "-Wextra", "-Werror")
# What Python's own headers and tables ask for.
OF_PYTHON = ("-Wno-unused-parameter", "-Wno-missing-field-initializers")


@dataclass(frozen=True)
class Stack:
    """The build script of a stack's extension, and the functions that `doubles` answers for."""

    script: str
    doubles: str | None = None
    wrapped: tuple[str, ...] = ()


STACKS = {
    "kernel": Stack(
        "csrc/build_kernel.py",
        "kernel_doubles.c",
        ("accept4", "getsockname", "getsockopt", "recvmsg", "sendmmsg", "sendmsg", "setsockopt"),
    ),
    "usrsctp": Stack("csrc/build_usrsctp.py"),
}


class BuildError(Exception):
    """No instrumented build could be made; the text says why."""


@dataclass(frozen=True)
class Sanitizer:
    """A way to instrument."""

    name: str
    flags: tuple[str, ...]
    preload: str

    @property
    def directory(self) -> Path:
        """Where the build is."""
        return BUILD / self.name

    @property
    def package(self) -> Path:
        """The directory that the instrumented package is imported from."""
        return self.directory / "package"

    def library(self, stack: str) -> Path:
        """Name the library of a stack with its doubles."""
        return self.directory / f"{stack}.so"

    def build(self) -> None:
        """Build anew, so that nothing stale is tested."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.package.mkdir(parents=True)
        shutil.copytree(
            ROOT / "src" / "sctpio",
            self.package / "sctpio",
            ignore=shutil.ignore_patterns("*.so", "_kernel.c", "_usrsctp.c", "__pycache__"),
        )
        for name, stack in STACKS.items():
            self._build_stack(name, stack)
        source, include = ROOT / "csrc" / "fast" / "fast.c", f"-I{sysconfig.get_paths()['include']}"
        accelerator = self._compile(source, *STRICT, *OF_PYTHON, f"-I{ROOT / 'csrc'}", include)
        self._link(self.package / "sctpio" / "_fast.abi3.so", accelerator)

    def _build_stack(self, name: str, stack: Stack) -> None:
        script = runpy.run_path(str(ROOT / stack.script))
        if "available" in script and not script["available"]():
            return
        includes = [f"-I{ROOT / folder}" for folder in script["INCLUDES"]]
        objects = [self._compile(ROOT / source, *STRICT, *includes) for source in script["SOURCES"]]
        if stack.doubles is not None:
            doubles = self._compile(HERE / stack.doubles, *STRICT, *includes)
            wraps = [f"-Wl,--wrap={function}" for function in stack.wrapped]
            self._link(self.library(name), *objects, doubles, *wraps)

        ffi: Any = script["ffi"]
        module = "_" + name
        glue = self.directory / f"{module}.c"
        with contextlib.redirect_stdout(None):
            ffi.emit_c_code(str(glue))
        target = self.package / "sctpio" / "stacks" / f"{module}.abi3.so"
        self._link(target, self._compile_glue(glue, *includes), *objects, *script.get("LINK_ARGUMENTS", ()))

    def _compile_glue(self, glue: Path, *includes: str) -> str:
        # Not ours: cffi's own warnings are not errors.
        return self._compile(glue, "-w", *includes, f"-I{sysconfig.get_paths()['include']}")

    def _compile(self, source: Path, *extra: str) -> str:
        target = self.directory / f"{source.stem}.o"
        call(CC, *CFLAGS, *self.flags, *extra, "-c", str(source), "-o", str(target))
        return str(target)

    def _link(self, target: Path, *parts: str) -> None:
        call(CC, "-shared", *self.flags, *parts, "-o", str(target))

    def assignments(self) -> list[str]:
        """Give the environment that makes a Python process use the build, as NAME=VALUE."""
        # A report ends the process by SIGABRT: Python's fault handler then says which test it was.
        common = "abort_on_error=1:print_stacktrace=1"
        return [
            f"{VARIABLE}={self.name}",
            f"PYTHONPATH={self.package}",
            f"LD_PRELOAD={library(self.preload)}",
            # Python's own pools would hide where an object ends.
            "PYTHONMALLOC=malloc",
            "GLIBC_TUNABLES=glibc.malloc.check=3",
            f"ASAN_OPTIONS=detect_leaks=0:detect_stack_use_after_return=1:{common}",
            f"UBSAN_OPTIONS={common}",
        ]


# AddressSanitizer needs 47 bits of address space, and a process in User-Mode Linux has 39: there the
# compiler's and the C library's own checks of bounds stand in for it. The latter see a write too far.
SANITIZERS = {
    "address": Sanitizer("address", ("-O1", "-fsanitize=address,undefined"), "libasan.so"),
    "undefined": Sanitizer(
        "undefined",
        ("-O2", "-fsanitize=undefined,bounds-strict", "-D_FORTIFY_SOURCE=2", "-fstack-protector-all"),
        "libc_malloc_debug.so.0",
    ),
}


# gcc's flags for programs of threads: see test_usrsctp_threads.py.
THREADS = {"address": "-fsanitize=address,undefined", "thread": "-fsanitize=thread"}


def build_program(kind: str, source: str, stack: str) -> Path:
    """Build a C program of this folder with a stack's C in it."""
    script = runpy.run_path(str(ROOT / STACKS[stack].script))
    folder = BUILD / "programs"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{Path(source).stem}-{kind}"
    includes = [f"-I{ROOT / path}" for path in script["INCLUDES"]]
    sources = [str(HERE / source), *(str(ROOT / path) for path in script["SOURCES"])]
    flags = (*CFLAGS, "-O1", THREADS[kind], *STRICT, *includes)
    call(CC, *flags, *sources, *script["LINK_ARGUMENTS"], "-o", str(target))
    return target


def build_replay(name: str, *parts: str) -> Path:
    """Build a target of tests/fuzz as a program that runs it over a corpus."""
    folder = BUILD / "programs"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"fuzz-{name}"
    sources = [str(ROOT / "tests" / "fuzz" / f"{each}.c") for each in (name, "replay")]
    linked = [each if each.startswith("-") else str(ROOT / each) for each in parts]
    includes = [f"-I{ROOT / folder}" for folder in ("csrc", "csrc/kernel", "csrc/usrsctp")]
    flags = ("-std=gnu11", *CFLAGS[1:], "-O1", THREADS["address"], *STRICT, *includes)
    call(CC, *flags, *sources, *linked, "-o", str(target))
    return target


def call(*command: str) -> str:
    """Run a step of the build and give its output."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise BuildError(f"this failed: {' '.join(command)}\n{done.stderr}")
    return done.stdout.strip()


def library(name: str) -> str:
    """Find a library of the compiler's."""
    path = call(CC, f"-print-file-name={name}")
    if not Path(path).is_absolute():
        raise BuildError(f"{CC} comes without {name}")
    return path
