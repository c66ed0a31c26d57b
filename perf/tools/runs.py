"""Running the programs in alternation, one at a time, each in a session of its own on a machine that is quiet."""

import json
import os
import resource
import signal
import subprocess
import time

from . import machine

ABSENT = 3  # the exit code that says: this runtime has no such thing
WRONG_COMMAND_LINE = 2
MEMORY_SHARE = 0.6  # of what is free: more is not asked for
LEAST_TOUCHED_MB = 256  # before a run, and half as much again as a run of the same work has taken
SHORTEST_TO_JUDGE = 0.2  # seconds; /proc/stat counts in hundredths


class Policy:
    """How runs are made: the command line's options."""

    def __init__(self, rounds, wait, percent, limit, slow):
        self.rounds, self.wait, self.percent, self.limit, self.slow = rounds, wait, percent, limit, slow


def be_preferred(bytes_allowed):
    """In the child, after setsid: Linux groups processes by session; ours is to be the preferred one."""
    try:
        with open("/proc/self/autogroup", "w") as group:
            group.write("-19")
    except OSError:
        pass  # not allowed, or no such thing
    try:
        resource.setrlimit(resource.RLIMIT_AS, (bytes_allowed, bytes_allowed))
    except (OSError, ValueError):
        pass


def own_cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def execute(words, limit):
    """Exit code (None: it had to be killed), what it printed, seconds, share of the processors that others used."""
    bytes_allowed = int(machine.available_mb() * 1e6 * 0.9)
    busy, own, began = machine.busy_seconds(), own_cpu_seconds(), time.monotonic()
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             start_new_session=True, preexec_fn=lambda: be_preferred(bytes_allowed))
    code = None
    try:
        out, err = child.communicate(timeout=limit)
        code = child.returncode
    except BaseException as why:
        os.killpg(child.pid, signal.SIGKILL)  # its own session, so its own group
        out, err = child.communicate()
        if not isinstance(why, subprocess.TimeoutExpired):
            raise
    seconds = time.monotonic() - began
    others = machine.busy_seconds() - busy - (own_cpu_seconds() - own)
    return code, out, err, seconds, max(0.0, others / seconds / os.cpu_count() * 100)


def read_figures(text):
    """The line of JSON, or None."""
    try:
        figures = json.loads(text)
    except ValueError:
        return None
    return figures if isinstance(figures, dict) and "ns_per_op" in figures else None


def command_line(program, arguments, point):
    words = [*program.words(point.bench), "-w", str(point.workers)]
    if point.n is not None:
        words += ["-n", str(point.n)]
    if point.capacity is not None:
        words += ["-c", str(point.capacity)]
    return words + arguments


def run_once(program, label, arguments, workload, point, policy, memory_mb):
    """One run as it goes into the results.  status: ok, failed, absent.  `memory_mb`: what it may take, roughly."""
    is_quiet = policy.wait == 0 or machine.wait_until_quiet(policy.wait, policy.percent)
    machine.touch_memory(min(max(LEAST_TOUCHED_MB, 1.5 * memory_mb), MEMORY_SHARE * machine.available_mb()))
    code, out, err, seconds, others = execute(command_line(program, arguments, point), policy.limit)
    run = {"workload": workload, "bench": point.bench, "asked_n": point.n, "capacity": point.capacity,
           "workers": point.workers, "impl": label, "program": program.name, "seconds": round(seconds, 3),
           "others_percent": round(others, 1),
           "noisy": not is_quiet or (seconds > SHORTEST_TO_JUDGE and others > 2 * policy.percent)}
    figures = read_figures(out) if code == 0 else None
    if figures is not None:
        return run | {"status": "ok", "figures": figures}
    if code == ABSENT or (code == WRONG_COMMAND_LINE and program.variants is None):
        return run | {"status": "absent"}
    why = f"no end after {policy.limit} s" if code is None else f"exit code {code}"
    if code == 0:
        why = "prints no line of figures"
    return run | {"status": "failed", "error": f"{why}: {err.strip()[-500:]}", "killed": code is None}


class Entrant:
    """One variant of one program at one point, round by round."""

    def __init__(self, program, label, arguments, workload, point):
        self.what = (program, label, arguments, workload, point)
        self.program, self.label, self.point = program, label, point
        self.rounds, self.is_out = 0, False

    def run(self, policy, memory_mb):
        run = run_once(*self.what, policy, memory_mb)
        self.rounds += 1
        is_peer = not self.program.name.startswith("weft")
        is_slow = is_peer and run["seconds"] > policy.slow and self.rounds >= 2
        self.is_out = run["status"] == "absent" or run.get("killed", False) or is_slow
        return run


def too_large(point, label, runs):
    """Why a point would not fit into memory, by the largest smaller one of the same bench; None if it would."""
    if point.n is None:
        return None
    smaller = [r["figures"] for r in runs if r["status"] == "ok" and r["impl"] == label and r["bench"] == point.bench
               and r["figures"]["n"] < point.n]
    if not smaller:
        return None
    largest = max(smaller, key=lambda f: f["n"])
    needed = largest["rss_mb"] * point.n / largest["n"]
    if needed < MEMORY_SHARE * machine.available_mb() or needed < 1000:
        return None
    return f"would need {needed / 1000:.0f} GB of memory"


def not_run(program, label, workload, point, status, **more):
    return {"workload": workload, "bench": point.bench, "asked_n": point.n, "capacity": point.capacity,
            "workers": point.workers, "impl": label, "program": program.name, "round": 0, "noisy": False,
            "status": status} | more


def measure_point(programs, workload, point, policy, runs, is_weft_only=False):
    """All rounds of a point, A B C A B C; appends to `runs`, also what does not run."""
    entrants = []
    for program in programs:
        if is_weft_only and program.name != "weft":
            continue
        impls = program.impls(point.bench)
        if not impls:
            runs.append(not_run(program, program.name, workload, point, "absent"))
        for label, arguments in impls:
            why = too_large(point, label, runs)
            if why is None:
                entrants.append(Entrant(program, label, arguments, workload, point))
            else:
                runs.append(not_run(program, label, workload, point, "failed", error=why))
    memory_mb = 0
    for turn in range(policy.rounds):
        for entrant in entrants:
            if entrant.is_out:
                continue
            run = entrant.run(policy, memory_mb)
            runs.append(run | {"round": turn})
            memory_mb = max(memory_mb, run.get("figures", {}).get("rss_mb", 0))
