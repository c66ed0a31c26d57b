"""What is measured: points (a bench and its options), what is read off each, and what weft must reach (goals.txt)."""

from collections import namedtuple
from pathlib import Path

GOALS = Path(__file__).resolve().parent.parent / "goals.txt"

# A bench with its options; n and capacity are None where the program's default is meant.
Point = namedtuple("Point", "bench n capacity workers")

# subject: weft or weft-clang.  peers: names, the best of them counts; none: must and aim are absolute.
Goal = namedtuple("Goal", "workload workers measure subject peers must aim")

# A curve: points that differ in `axis` only, at the largest number of workers.
Curve = namedtuple("Curve", "name bench axis values measure title")

# workload: `n` under --quick.  The default n is the programs' own.
WORKLOADS = {
    "spawn_join": 100_000,
    "yield": 100_000,
    "parked": 20_000,
    "skynet": 11_111,
    "skynet_fj": 11_111,
    "fib": 200_000,
    "nqueens": 8,
    "chan_pingpong": 20_000,
    "chan_spsc": 200_000,
    "chan_mpmc": 100_000,
    "chan_unbounded": 200_000,
    "fan_in": 20_000,
    "select2": 50_000,
    "select2_unbuf": 50_000,
    "timers": 5_000,
    "rearm": 100_000,
    "ring": 20_000,
    "sieve": 100,
    "mutex": 80_000,
    "cancel": 10_000,
    "spawn_foreign": 50_000,
    "wake_latency": 100,
    "imbalance": 2_000,
    "blocking": 100,
    "echo": 20_000,
    "http": 1,
    "file_reads": 20_000,
    "skynet_fj@111111111": 111_111,
    "parked@10000000": 50_000,
}

ONLY_WORKERS = {"yield": [1], "blocking": [2], "parked@10000000": [2]}
ONLY_WEFT = {"parked@10000000"}  # 26 GB of goroutines

MEASURES = {
    "parked": ["bytes_per_routine", "ns_per_op"],
    "parked@10000000": ["rss_mb", "ns_per_op"],
    "timers": ["total_s", "cpu_s", "rss_mb", "late_p99_us"],
    "wake_latency": ["wake_p50_us", "wake_p99_us"],
    "nqueens": ["total_s"],
    "sieve": ["total_s"],
    "blocking": ["total_s", "late_p99_us"],
    "echo": ["ns_per_op", "p50_us", "p99_us"],
    "http": ["ns_per_op", "p50_us", "p99_us"],
}

UNITS = {"ns_per_op": "ns", "cpu_ns_per_op": "ns of CPU", "bytes_per_routine": "B", "rss_mb": "MB", "total_s": "s",
         "cpu_s": "s of CPU", "p50_us": "us, p50", "p99_us": "us, p99", "late_p99_us": "us late, p99", "wake_p50_us": "us, p50", "wake_p99_us": "us, p99"}

ROUTINES = [10**3, 10**4, 10**5, 10**6, 10**7]
TREES = [1111, 11111, 111111, 1111111, 11111111]
CAPACITIES = [0, 1, 4, 16, 64, 128, 256, 1024, 4096]

CURVES = [
    Curve("spawn_join", "spawn_join", "n", ROUTINES, "ns_per_op", "spawn_join: time per routine"),
    Curve("parked", "parked", "n", ROUTINES, "ns_per_op", "parked: time per routine"),
    Curve("parked_bytes", "parked", "n", ROUTINES, "bytes_per_routine", "parked: bytes per routine"),
    Curve("skynet", "skynet", "n", TREES, "ns_per_op", "skynet: time per routine"),
    Curve("chan_spsc", "chan_spsc", "capacity", CAPACITIES, "ns_per_op", "chan_spsc: time per value"),
    Curve("chan_mpmc", "chan_mpmc", "capacity", CAPACITIES, "ns_per_op", "chan_mpmc: time per value"),
    Curve("timers", "timers", "n", ROUTINES[:4], "cpu_ns_per_op", "timers: processor time per routine that sleeps"),
]

CURVE_VALUES = {"chan_spsc": 4_000_000, "chan_mpmc": 2_000_000}  # n of the curves over the capacity
QUICK_LARGEST = 10**5  # of a curve over n, under --quick


def measures_of(workload):
    """The first is the one that plots show."""
    return MEASURES.get(workload) or MEASURES.get(bench_of(workload), ["ns_per_op"])


def bench_of(workload):
    return workload.partition("@")[0]


def workload_of(point):
    """The workload that a point belongs to: `bench` with the default n, or `bench@n`."""
    return point.bench if point.n is None else f"{point.bench}@{point.n}"


def is_wanted(name, words):
    """A word that is a bench means that bench, another one all whose names contain it."""
    benches = {bench_of(w) for w in WORKLOADS}
    return not words or any(bench_of(name) == w if w in benches else w in name for w in words)


def table_points(words, workers):
    """The points of the table, (workload, point), in the order in which they are measured."""
    for workload in WORKLOADS:
        if not is_wanted(workload, words):
            continue
        n = int(workload.partition("@")[2] or 0) or None
        for w in workers:
            if w in ONLY_WORKERS.get(workload, workers):
                yield workload, Point(bench_of(workload), n, None, w)


def curve_points(words, workers, is_quick):
    """The points of all curves, each once, small ones first."""
    points = []
    for curve in CURVES:
        if not is_wanted(curve.bench, words):
            continue
        for value in curve.values:
            if curve.axis == "capacity":
                n = WORKLOADS[curve.bench] if is_quick else CURVE_VALUES[curve.bench]
                point = Point(curve.bench, n, value, max(workers))
            elif is_quick and value > QUICK_LARGEST:
                continue
            else:
                point = Point(curve.bench, value, None, max(workers))
            if point not in points:
                points.append(point)
    return points


def read_goals(path=GOALS):
    """Lines of goals.txt: workload, workers, measure, subject, peers joined by | or -, must, aim."""
    goals = []
    for line in path.read_text().splitlines():
        words = line.partition("#")[0].split()
        if not words:
            continue
        workload, workers, measure, subject, peers, must, aim = words
        goals.append(Goal(workload, int(workers), measure, subject, [] if peers == "-" else peers.split("|"),
                          float(must), float(aim)))
    return goals
