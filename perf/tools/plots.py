"""Plots by gnuplot, as SVG: bars per workload, and cost as a curve over size, capacity or timers."""

import shutil
import subprocess
from statistics import median

from .summary import middle, value_of
from .workloads import CURVES, UNITS

STYLE = """
set terminal svg size {width},480 dynamic background rgb 'white' font 'sans,12'
set output '{path}'
set title "{title}" noenhanced
set key outside right top noenhanced
set grid ytics lc rgb '#dddddd'
set border 3
set tics nomirror
"""


def is_possible():
    return shutil.which("gnuplot") is not None


def draw(script):
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def quoted(text):
    return '"' + text.replace('"', "'") + '"'


# --- bars: weft / peer per workload, a bar a peer ---


def families(rows, programs):
    """program -> workload -> the ratio to the best of the program's variants, at the measure that comes first."""
    first = {}
    for r in rows:
        first.setdefault(r.workload, r.measure)
    found = {}
    for r in rows:
        if r.subject != "weft" or r.ratio is None or r.measure != first[r.workload]:
            continue
        best = found.setdefault(programs[r.peer], {})
        if r.workload not in best or middle(r.theirs) < best[r.workload][1]:
            best[r.workload] = (r.ratio, middle(r.theirs))
    return {p: {w: ratio for w, (ratio, _) in by.items()} for p, by in found.items()}


def bars(path, rows, programs, workers):
    """False if there is nothing to show."""
    peers = families(rows, programs)
    workloads = list(dict.fromkeys(r.workload for r in rows if any(r.workload in by for by in peers.values())))
    if not workloads:
        return False
    title = f"weft / peer, {workers} worker(s): below 1 weft is better (best variant of each program)"
    lines = [" ".join([quoted(w), *(f"{by[w]:.5g}" if w in by else "?" for by in peers.values())]) for w in workloads]
    plots = [f"$data using {i + 2}:xtic(1) title {quoted(p)}" for i, p in enumerate(peers)]
    script = STYLE.format(width=max(700, 60 * len(workloads) + 200), path=path, title=title)
    script += "$data << EOD\n" + "\n".join(lines) + "\nEOD\n"
    script += "set datafile missing '?'\nset logscale y\nset style data histograms\nset style histogram clustered gap 1\n"
    script += "set bmargin 9\nset style fill solid 0.8 noborder\nset xtics rotate by -40 noenhanced\nset ylabel 'ratio'\n"
    script += "set arrow from graph 0, first 1 to graph 1, first 1 nohead lc rgb '#444444'\n"
    low = min(min(by.values()) for by in peers.values())
    high = max(max(by.values()) for by in peers.values())
    script += f"set yrange [{min(low, 1) / 2:.5g}:{max(high, 1) * 2:.5g}]\n"
    draw(script + "plot " + ", ".join(plots) + "\n")
    return True


# --- curves ---


def curve_lines(curve, runs):
    """impl -> [(x, median, lowest, highest)], by x."""
    found = {}
    for r in runs:
        value = value_of(r, curve.measure)
        x = r["asked_n"] if curve.axis == "n" else r["capacity"]
        is_of_axis = r["bench"] == curve.bench and (curve.axis == "capacity") == (r["capacity"] is not None)
        if is_of_axis and value is not None and x is not None:
            found.setdefault(r["impl"], {}).setdefault(x, []).append(value)
    return {impl: [(x, median(v), min(v), max(v)) for x, v in sorted(by.items())] for impl, by in found.items()}


def draw_curve(path, curve, runs):
    """False if there is nothing to show."""
    lines = curve_lines(curve, runs)
    if not lines:
        return False
    script = STYLE.format(width=900, path=path, title=curve.title)
    script += "set logscale y\nset ylabel " + quoted(UNITS[curve.measure]) + "\n"
    position = {x: x for by in lines.values() for x, *_ in by}
    if curve.axis == "n":
        script += "set logscale x\nset format x '10^{%T}'\nset xlabel 'number'\n"
    else:  # 0 has no logarithm: the values stand side by side
        position = {x: i for i, x in enumerate(sorted(position))}
        tics = ", ".join(f"'{x}' {i}" for x, i in position.items())
        script += f"set xtics ({tics})\nset xlabel 'capacity'\nset xrange [-0.5:{len(position) - 0.5}]\n"
    for i, by in enumerate(lines.values()):
        points = "\n".join(f"{position[x]} {mid:.6g} {low:.6g} {high:.6g}" for x, mid, low, high in by)
        script += f"$d{i} << EOD\n{points}\nEOD\n"
    plots = [f"$d{i} using 1:2:3:4 with yerrorlines lw {3 if impl == 'weft' else 1.5} pt 7 ps 0.5 title {quoted(impl)}"
             for i, impl in enumerate(lines)]
    draw(script + "plot " + ", ".join(plots) + "\n")
    return True


def draw_all(folder, name, result, rows):
    """Writes all plots there are figures for; gives (title, path)."""
    programs = {r["impl"]: r["program"] for r in result["runs"]}
    drawn = []
    for workers in sorted({r.workers for r in rows}):
        path = folder / f"{name}-ratios-{workers}.svg"
        if bars(path, [r for r in rows if r.workers == workers], programs, workers):
            drawn.append((f"Ratios, {workers} worker(s)", path))
    for curve in CURVES:
        path = folder / f"{name}-{curve.name}.svg"
        if draw_curve(path, curve, result["curve_runs"]):
            drawn.append((curve.title, path))
    return drawn
