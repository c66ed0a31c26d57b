"""From runs to figures: medians, ranges, ratios, verdicts."""

from collections import defaultdict, namedtuple
from statistics import median

SUBJECTS = ("weft", "weft-clang")  # what is judged; everything else is a peer

# by_round: round -> value
Series = namedtuple("Series", "by_round noisy failed error")

# What weft has beside one peer; peer is a name, `a|b` if none of them was measured, or - if the goal is absolute.
Row = namedtuple("Row", "workload workers measure subject peer ours theirs ratio low high must aim verdict")


def value_of(run, measure):
    """None if the run failed or does not say."""
    figures = run.get("figures")
    if run["status"] != "ok":
        return None
    if measure == "cpu_ns_per_op" and "cpu_s" in figures:
        return figures["cpu_s"] * 1e9 / figures["n"]
    if measure == "total_s" and "total_s" not in figures:
        return figures["ns_per_op"] * figures["n"] / 1e9
    return figures.get(measure)


def series_of(runs, measure):
    """The runs of one entrant; None if the runtime has no such thing."""
    if all(r["status"] == "absent" for r in runs):
        return None
    by_round = {r["round"]: v for r in runs if (v := value_of(r, measure)) is not None}
    errors = [r["error"] for r in runs if r["status"] == "failed"]
    return Series(by_round, sum(r["noisy"] for r in runs), len(errors), errors[0] if errors else None)


def grouped(runs):
    """(workload, workers, impl) -> its runs, in the order of the runs."""
    groups = defaultdict(list)
    for r in runs:
        groups[r["workload"], r["workers"], r["impl"]].append(r)
    return groups


def middle(series):
    return median(series.by_round.values()) if series.by_round else None


def ratio_of(ours, theirs):
    """(median by median, lowest and highest of the rounds that both have), or three None."""
    a, b = middle(ours), middle(theirs)
    if not a or not b:
        return None, None, None
    rounds = [ours.by_round[i] / theirs.by_round[i] for i in ours.by_round if theirs.by_round.get(i)]
    return a / b, min(rounds, default=a / b), max(rounds, default=a / b)


def verdict(value, low, goal):
    """Missed is what misses by more than the spread: even its best round does."""
    if value is None:
        return "not measured"
    if value <= goal.aim:
        return "aim"
    if value <= goal.must:
        return "must"
    return "must, within spread" if low <= goal.must else "MISSED"


def best(names, series):
    """The name with the lowest median; one that has failed only if there is no other."""
    return min(names, key=lambda n: (middle(series[n]) is None, middle(series[n]) or 0.0), default=None)


def goals_of(goals, workload, workers, measure, subject, series):
    """peer's name -> goal.  The best of the variants that the goal means stands for all."""
    found = {}
    for g in goals:
        if (g.workload, g.workers, g.measure, g.subject) != (workload, workers, measure, subject):
            continue
        names = [n for n in series if n not in SUBJECTS and any(n.startswith(p) for p in g.peers)]
        found[best(names, series) or "|".join(g.peers) or "-"] = g
    return found


def rows_of(workload, workers, measure, subject, series, goals):
    ours = series[subject]
    wanted = goals_of(goals, workload, workers, measure, subject, series)
    peers = [n for n in series if n not in SUBJECTS] if subject == "weft" else []
    peers += [n for n in wanted if n not in peers]
    for peer in peers or ["-"]:
        theirs, goal = series.get(peer), wanted.get(peer)
        ratio, low, high = ratio_of(ours, theirs) if theirs else (None, None, None)
        judged, lowest = ratio, low
        if goal and not goal.peers:
            judged, lowest = middle(ours), min(ours.by_round.values(), default=None)
        yield Row(workload, workers, measure, subject, peer, ours, theirs, ratio, low, high, goal and goal.must,
                  goal and goal.aim, verdict(judged, lowest, goal) if goal else "")


def table(runs, goals, measures_of):
    """All rows, in the order of the runs."""
    groups = grouped(runs)
    rows = []
    for workload, workers in dict.fromkeys((w, k) for w, k, _ in groups):
        for measure in measures_of(workload):
            every = {i: series_of(rs, measure) for (w, k, i), rs in groups.items() if (w, k) == (workload, workers)}
            series = {name: s for name, s in every.items() if s is not None}
            for subject in SUBJECTS:
                if subject in series:
                    rows += rows_of(workload, workers, measure, subject, series, goals)
    return rows
