"""The programs that are compared: building them, and which benches and variants each has."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HTTP = ROOT / "perf/http"
GO_SERVER = ROOT / "build/peers/peer-go-http"


class Program:
    """`variants`: bench -> names of what it offers there; None if the program has no --list."""

    def __init__(self, name, path, variants):
        self.name, self.path, self.variants = name, Path(path), variants
        self.server = []  # the words behind perf/http, where it has that bench

    def has_server(self, kind, path):
        self.variants["http"] = [self.name]
        self.server = [kind, path]

    def words(self, bench):
        """Of a command line, the first."""
        return [str(w) for w in ([HTTP, *self.server] if bench == "http" else [self.path, bench])]

    def impls(self, bench):
        """(label, further arguments) for each variant of `bench`."""
        if self.variants is None:
            return [(self.name, [])]
        names = self.variants.get(bench, [])
        if len(names) < 2:
            return [(self.label(name), []) for name in names]
        return [(self.label(name), ["-impl", name]) for name in names]

    def label(self, variant):
        """Its own programs' variants speak for themselves; another's carry the name that was given."""
        if self.name in ("weft", "epoll", "go", "rust"):
            return variant
        is_only_one = all(len(names) == 1 for names in self.variants.values())
        if is_only_one:
            return self.name
        return variant if variant.startswith(self.name) else f"{self.name}-{variant}"


def read_list(path):
    """What PROGRAM --list prints, lines `BENCH VARIANT`."""
    got = subprocess.run([path, "--list"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    if got.returncode != 0:
        return None
    variants = {}
    for line in got.stdout.splitlines():
        bench, _, variant = line.partition(" ")
        variants.setdefault(bench, []).append(variant.strip())
    return variants


def listed(name, path):
    return Program(name, path, read_list(path))


# --- building: each gives the program's path, or throws Missing ---


class Missing(Exception):
    pass


def need(tool, what):
    if shutil.which(tool) is None:
        raise Missing(f"{tool} is not installed: compared without {what}")


def short(path):
    """What may stand in a result: no folder of this machine."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def command(words, where=ROOT):
    if not where.is_dir():
        raise Missing(f"{short(where)} is not there")
    if subprocess.run(words, cwd=where, stdout=sys.stderr).returncode != 0:
        raise Missing(f"`{words[0]} {words[1]}` failed in {short(where)}")


def weft(preset, is_to_build):
    if is_to_build:
        command(["cmake", "--preset", preset])
        command(["cmake", "--build", f"build/{preset}", "--target", "weft-perf", "peer-epoll", "http_server"])
    return ROOT / "build" / preset / "perf" / "weft-perf"


def epoll():
    """Is built with weft, which it does not use."""
    return ROOT / "build/release/perf/peer-epoll"


def go(is_to_build):
    out = ROOT / "build/peers/peer-go"
    if is_to_build:
        need("go", "Go")
        command(["go", "build", "-o", out, "."], ROOT / "perf/peers/go")
        command(["go", "build", "-o", GO_SERVER, "./http_server"], ROOT / "perf/peers/go")
    return out


def rust(is_to_build):
    target = ROOT / "build/peers/rust"
    if is_to_build:
        need("cargo", "Tokio")
        command(["cargo", "build", "--release", "--offline", "--target-dir", target], ROOT / "perf/peers/rust")
    return target / "release/peer-rust"


def gather(is_to_build, has_clang, also):
    """All programs that can be had, weft first, and why others cannot.  Without weft there is nothing to compare."""
    programs, missing = [listed("weft", weft("release", is_to_build))], {}
    os.environ["WEFT_ECHO_LOAD"] = str(ROOT / "build/release/perf/weft-echo-load")
    makers = [("epoll", epoll), ("go", lambda: go(is_to_build)), ("rust", lambda: rust(is_to_build))]
    if has_clang:
        makers.append(("weft-clang", lambda: weft("clang", is_to_build)))
    makers += [(name, lambda path=path: path) for name, path in also]
    for name, make in makers:
        try:
            programs.append(listed(name, make()))
            missing.pop(name, None)
        except (Missing, OSError, subprocess.TimeoutExpired) as why:
            missing[name] = str(why) if isinstance(why, Missing) else f"cannot be run: {getattr(why, 'strerror', None) or why}"
    return programs, missing | add_servers(programs)


def add_servers(programs):
    """The bench http: of weft and Go by a further program of theirs, and nginx, which has no other.  Gives what is missing."""
    if shutil.which("wrk") is None:
        return {"wrk": "wrk is not installed: compared without http"}
    for p in programs:
        if p.name in ("weft", "weft-clang"):
            p.has_server("weft", p.path.parent.parent / "samples/http_server")
        elif p.name == "go":
            p.has_server("go", GO_SERVER)
    path = shutil.which("nginx", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")  # no user's, at Debian
    if path is None:
        return {"nginx": "nginx is not installed: compared without it"}
    nginx = Program("nginx", path, {})
    nginx.has_server("nginx", path)
    programs.append(nginx)
    return {}
