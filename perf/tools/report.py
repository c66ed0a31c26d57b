"""Tables: on the terminal, and perf/RESULTS.md."""

from .summary import middle
from .workloads import UNITS

HEAD = ["workload", "workers", "measure", "weft", "peer", "its figure", "ratio", "must", "aim", "verdict"]


def number(value):
    """Three digits that count, no exponent."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    digits = 2
    while abs(value) >= 10 ** (3 - digits) and digits > 0:
        digits -= 1
    while abs(value) < 10 ** (1 - digits) * 10 and digits < 6 and abs(value) < 1:
        digits += 1
    return f"{value:,.{digits}f}"


def figure(series):
    """`12.3 (11.9-14.0)`, with what went wrong."""
    if series is None:
        return "-"
    values = list(series.by_round.values())
    marks = f", {len(values)} runs" if len(values) < 3 else ""
    marks += f", {series.noisy} noisy" if series.noisy else ""
    marks += f", {series.failed} FAILED" if series.failed and values else ""
    if not values:
        return "FAILED"
    return f"{number(middle(series))} ({number(min(values))}-{number(max(values))}{marks})"


def ratio(row):
    return "-" if row.ratio is None else f"{number(row.ratio)} ({number(row.low)}-{number(row.high)})"


def cells(row):
    workload = row.workload + ("" if row.subject == "weft" else f" ({row.subject})")
    return [workload, str(row.workers), UNITS[row.measure], figure(row.ours), row.peer.replace("|", " or "), figure(row.theirs), ratio(row),
            number(row.must), number(row.aim), row.verdict]


def lines_of(head, body):
    """A table in Markdown that reads well as it is."""
    widths = [max(len(r[i]) for r in [head, *body]) for i in range(len(head))]
    rule = ["-" * w for w in widths]
    return ["| " + " | ".join(c.ljust(w) for c, w in zip(r, widths)) + " |" for r in [head, rule, *body]]


def table_lines(rows):
    return lines_of(HEAD, [cells(r) for r in rows])


def failures(runs):
    """One line for each bench that failed, and how often."""
    found = {}
    for r in runs:
        if r["status"] == "failed":
            what = f"{r['bench']} n={r['asked_n'] or 'default'}"
            what += "" if r["capacity"] is None else f" capacity={r['capacity']}"
            found.setdefault((what, r["workers"], r["impl"]), []).append(r["error"])
    return [f"{impl}, {what}, {workers} worker(s): {len(errors)} time(s), {' '.join(errors[0].split())}"
            for (what, workers, impl), errors in found.items()]


def absences(runs):
    """What a runtime says it does not have."""
    found = {}
    for r in runs:
        if r["status"] == "absent":
            what = r["bench"] + ("" if r["capacity"] is None else f" capacity={r['capacity']}")
            found.setdefault(r["impl"], {})[what] = True
    return [f"{impl}: {', '.join(benches)}" for impl, benches in found.items()]


def different_work(runs):
    """Benches at which programs report another n than weft does: their figures cannot be compared."""
    own = {(r["workload"], r["capacity"], r["workers"]): r["figures"]["n"] for r in runs
           if r["status"] == "ok" and r["impl"] == "weft"}
    found = {}
    for r in runs:
        n = own.get((r["workload"], r["capacity"], r["workers"]))
        if r["status"] == "ok" and n is not None and r["figures"]["n"] != n:
            found[f"{r['impl']}, {r['workload']}: n = {r['figures']['n']}, weft {n}"] = True
    return list(found)


def notes(result):
    """(title, lines) of what a reader must know besides the figures."""
    runs = result["runs"] + result["curve_runs"]
    found = [("Not compared", [f"{name}: {why}" for name, why in result["missing"].items()]),
             ("Failed", failures(runs)), ("Another amount of work", different_work(runs)),
             ("No such thing", absences(runs))]
    return [(title, lines) for title, lines in found if lines]


def head_lines(result):
    m, o = result["machine"], result["options"]
    compilers = "; ".join(v for v in m["compilers"].values() if v)
    crates = ", ".join(f"{k} {v}" for k, v in m["crates"].items())
    noisy = sum(r["noisy"] for r in result["runs"])
    return [f"{result['date']}, weft {result['commit']}" + (" (`--quick`: shows that it works, no more)" if o["quick"] else ""),
            "", f"- {m['cpu']}, {m['cores']} cores, {m['memory_gb']} GB; Linux {m['kernel']}",
            f"- {compilers}" + (f"; {crates}" if crates else ""),
            f"- {o['rounds']} rounds in alternation; {len(result['runs'])} runs, {noisy} of them noisy"]


def markdown(result, rows, plots):
    """`plots`: (title, path relative to the report)."""
    judged = [r for r in rows if r.verdict]
    lines = ["# Results", "", "Written by `perf/compare`; [README.md](README.md) says how to read it.", "",
             *head_lines(result), "", "## Against the goals", "", *table_lines(judged)]
    for title, said in notes(result):
        lines += ["", f"## {title}", "", *(f"- {s}" for s in said)]
    lines += ["", "## Everything", "", *table_lines(rows)]
    if plots:
        lines += ["", "## Plots", ""]
        for title, path in plots:
            lines += [f"![{title}]({path})"]
    return "\n".join(lines) + "\n"
