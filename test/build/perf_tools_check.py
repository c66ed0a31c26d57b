"""perf/compare's parts and perf/diff, on toy programs and tiny results: no measuring, no building.

  python3 perf_tools_check.py <source dir>
"""

import copy
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(sys.argv[1]).resolve()
sys.path.insert(0, str(ROOT / "perf"))

from tools import machine, programs, report, runs, summary, workloads  # noqa: E402: the path comes first

TOY = """#!/bin/sh
if [ "$1" = --list ]; then
  for each in "yield quick" "yield lazy" "ring quick" "mutex quick" "timers quick"; do echo "$each"; done
  exit 0
fi
rss=1
case $1 in
  ring) echo broken >&2; exit 1 ;;
  mutex) exit 3 ;;
  timers) rss=400 ;;
esac
echo "{\\"bench\\":\\"$1\\",\\"impl\\":\\"x\\",\\"n\\":10,\\"ns_per_op\\":7,\\"rss_mb\\":$rss,\\"arguments\\":\\"$*\\"}"
"""


def check(is_right, what):
    if not is_right:
        sys.exit(f"wrong: {what}")


def toy(folder):
    path = folder / "toy"
    path.write_text(TOY)
    path.chmod(0o755)
    return programs.listed("toy", path)


def measured(program, bench):
    found = []
    policy = runs.Policy(rounds=3, wait=0, percent=5, limit=20, slow=30)
    runs.measure_point([program], bench, workloads.Point(bench, 10, None, 1), policy, found)
    return found


def check_runs(folder):
    program = toy(folder)
    taken = measured(program, "yield")
    check([r["impl"] for r in taken] == ["toy-quick", "toy-lazy"] * 3, "variants are run in alternation")
    check(taken[1]["figures"]["arguments"] == "yield -w 1 -n 10 -impl lazy", "the command line names the variant")
    check([r["status"] for r in measured(program, "ring")] == ["failed"] * 3, "what fails is kept, and tried again")
    check("broken" in measured(program, "ring")[0]["error"], "a failure says what the program said")
    check([r["status"] for r in measured(program, "mutex")] == ["absent"], "what a runtime has not is asked for once")
    check([r["status"] for r in measured(program, "sieve")] == ["absent"], "what is not listed is not asked for, and said")


def check_memory(folder):
    """Before each run, so that none of them is the first to touch it."""
    asked, really = [], machine.touch_memory
    machine.touch_memory = asked.append
    try:
        measured(toy(folder), "timers")
    finally:
        machine.touch_memory = really
    if machine.available_mb() > 2000:
        check(asked == [256, 600, 600], "memory is touched before a run, as much as the others of its kind have taken")
    really(1e9)  # which is not to be had: it goes on


def check_servers(folder):
    own = programs.Program("weft", "/somewhere/perf/weft-perf", {"yield": ["weft"]})
    path, os.environ["PATH"] = os.environ["PATH"], str(folder)
    try:
        missing = programs.add_servers([own])
        check("wrk is not installed" in missing["wrk"] and not own.impls("http"), "without wrk nobody serves")
        (folder / "wrk").write_text("#!/bin/sh\n")
        (folder / "wrk").chmod(0o755)
        programs.add_servers([own])
    finally:
        os.environ["PATH"] = path
    check(own.impls("http") == [("weft", [])], "a server is no variant")
    check(own.words("http")[1:] == ["weft", "/somewhere/samples/http_server"], "http has a program of its own")
    check(own.words("yield") == ["/somewhere/perf/weft-perf", "yield"], "the others have not")


def run_of(impl, ns, turn, bench="chan_spsc", status="ok"):
    run = {"workload": bench, "bench": bench, "asked_n": None, "capacity": None, "workers": 2, "impl": impl,
           "program": impl, "round": turn, "noisy": False, "status": status}
    if status != "ok":
        return run | {"error": "exit code 1"}
    return run | {"figures": {"n": 10, "ns_per_op": ns, "rss_mb": 1}}


def result_of(own, peer):
    taken = [run_of("weft", ns, i) for i, ns in enumerate(own)] + [run_of("go", ns, i) for i, ns in enumerate(peer)]
    return {"format": 1, "date": "2026-01-01 00:00", "commit": "0", "missing": {"rust": "no cargo"},
            "machine": {"cpu": "toy", "cores": 2, "memory_gb": 1, "kernel": "0", "compilers": {"g++": "0"}, "crates": {}},
            "options": {"rounds": len(own), "workers": [2], "quick": False, "only": [], "busy": 5, "waited": True},
            "runs": taken, "curve_runs": []}


def verdict_of(own, peer):
    rows = summary.table(result_of(own, peer)["runs"], workloads.read_goals(), workloads.measures_of)
    return next(r.verdict for r in rows if r.peer == "go")


def check_verdicts():
    goals = workloads.read_goals()
    check(all(g.workload in workloads.WORKLOADS and g.measure in workloads.UNITS for g in goals), "goals.txt")
    peer = [100, 100, 100]  # chan_spsc, 2 workers, Go: must 0.35, aim 0.15
    check(verdict_of([14, 15, 15], peer) == "aim", "an aim is reached by the median")
    check(verdict_of([30, 31, 50], peer) == "must", "so is a must")
    check(verdict_of([34, 36, 50], peer) == "must, within spread", "what one round reaches is not missed")
    check(verdict_of([36, 37, 38], peer) == "MISSED", "a must is missed by more than the spread")
    result = result_of([36, 37, 38], peer)
    result["runs"].append(run_of("tokio", 0, 0, status="failed"))
    rows = summary.table(result["runs"], goals, workloads.measures_of)
    page = report.markdown(result, rows, [])
    for what in ("FAILED", "no cargo", "MISSED", "exit code 1"):
        check(what in page, f"the report says {what}")


def diff(folder, old, new):
    paths = [folder / "old.json", folder / "new.json"]
    for path, result in zip(paths, (old, new)):
        path.write_text(json.dumps(result))
    got = subprocess.run([sys.executable, ROOT / "perf/diff", *paths], capture_output=True, text=True)
    return got.returncode, got.stdout


def check_diff(folder):
    peer = [50, 51, 52, 53, 54]
    old = result_of([10, 11, 12, 12, 30], peer)
    check(diff(folder, old, old) == (0, "2 same\n"), "nothing has changed")
    code, said = diff(folder, old, result_of([14, 14, 15, 15, 15], peer))
    check(code == 1 and "| worse " in said and "+25.0 %" in said, "slower by more than noise; the slowest run is left out")
    check(diff(folder, old, result_of([11, 12, 13, 13, 13], peer))[0] == 0, "ranges that overlap are noise")
    code, said = diff(folder, old, result_of([5, 5, 5, 5, 5], [70] * 5))
    check(code == 0 and "| better " in said and "| worse " in said, "a peer's change is shown and is no fault of weft's")
    failing = copy.deepcopy(old)
    failing["runs"] = [run_of("weft", 0, i, status="failed") if r["impl"] == "weft" else r
                       for i, r in enumerate(old["runs"])]
    code, said = diff(folder, old, failing)
    check(code == 1 and "| failing " in said, "what fails now is worse")


def check_merge(folder):
    one = result_of([10, 11, 12], [50, 51, 52])
    other = copy.deepcopy(one)
    other["machine"]["cpu"] = "another"
    paths = [folder / "one.json", folder / "other.json"]
    for second, code in ((one, 0), (other, 1)):
        for path, result in zip(paths, (one, second)):
            path.write_text(json.dumps(result))
        got = subprocess.run([sys.executable, ROOT / "perf/compare", "--from", *paths, "--out", folder / "merged"],
                             capture_output=True, text=True)
        check(got.returncode == code, f"results of one processor are merged, and of two are not: {got.stderr}")


def main():
    with tempfile.TemporaryDirectory() as name:
        check_runs(Path(name))
        check_memory(Path(name))
        check_servers(Path(name))
        check_verdicts()
        check_diff(Path(name))
        check_merge(Path(name))


main()
