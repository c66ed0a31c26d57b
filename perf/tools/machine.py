"""The machine: what it is, and how busy it is."""

import contextlib
import mmap
import os
import platform
import re
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
WINDOW = 0.25  # seconds that one look at the processors takes
PAGE = mmap.PAGESIZE


def first_line(*words):
    try:
        got = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return None
    lines = got.stdout.splitlines()
    return lines[0].strip() if got.returncode == 0 and lines else None


def cpu_model():
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found.group(1) if found else platform.processor()


def crates():
    """The versions of what the Rust peers are about."""
    lock = ROOT / "perf/peers/rust/Cargo.lock"
    text = lock.read_text() if lock.exists() else ""
    found = dict(re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"', text))
    return {name: found[name] for name in ("tokio", "async-channel", "flume", "crossbeam-channel") if name in found}


def describe():
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "kernel": platform.release(),
        "compilers": {
            "g++": first_line("g++", "--version"),
            "clang++-19": first_line("clang++-19", "--version"),
            "go": first_line("go", "version"),
            "rustc": first_line("rustc", "--version"),
        },
        "crates": crates(),
    }


def commit():
    """The commit that is measured, with a + if the tree differs from it in more than results."""
    name = first_line("git", "rev-parse", "--short=10", "HEAD") or "unknown"
    changed = first_line("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!perf/RESULTS.md",
                         ":!perf/results")
    return name + ("+" if changed else "")


def available_mb():
    found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(found.group(1)) * 1024 / 1e6


def touch_memory(megabytes):
    """So much free memory is there afterwards, for a second or two, if it may be had.

    A virtual machine gives free memory back to its host, and gets it again page by page as it is touched, which here
    takes seven times as long as what the kernel of the machine does for it.  In a process of its own: where there is a
    limit that nobody told us of, that one is killed.
    """
    child = os.fork()
    if child != 0:
        os.waitpid(child, 0)
        return
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
        size = int(megabytes * 1e6) // PAGE * PAGE
        with mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            with contextlib.suppress(OSError):  # a kernel without huge pages
                memory.madvise(getattr(mmap, "MADV_HUGEPAGE", 14))
            memory[::PAGE] = bytes(size // PAGE)
    finally:
        os._exit(0)


def busy_seconds():
    """Processor time that was used or stolen since the machine started, all processors."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def wait_until_quiet(limit, percent):
    """Until two looks in a row see less than `percent` of the processors in use; False after `limit` seconds."""
    end = time.monotonic() + limit
    quiet = 0
    while quiet < 2:
        before, began = busy_seconds(), time.monotonic()
        time.sleep(WINDOW)
        used = (busy_seconds() - before) / (time.monotonic() - began) / os.cpu_count() * 100
        quiet = quiet + 1 if used < percent else 0
        if quiet < 2 and time.monotonic() > end:
            return False
    return True
