"""Measure, print tables, and on request write them: ``python -m benchmarks``.

`benchmarks.live` is the second half of it, and can be run alone.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import attrs

from benchmarks import live, live_docs
from benchmarks.cluster import new_cluster
from benchmarks.libraries import LIBRARIES
from benchmarks.report import as_json, machine, page, tables
from benchmarks.rows import QUICK, Bench, Results, Sizes
from benchmarks.team import ROOT, Team


def main() -> None:
    """Measure all, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that all works")
    parser.add_argument("--rounds", type=int, help="how often each client has its turn")
    parser.add_argument("--embedded", action="store_true", help="not on a real control plane")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument(
        "--docs", action="store_true", help="write docs/benchmarks.md and its pictures"
    )
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else Sizes()
    if arguments.rounds:
        sizes = attrs.evolve(sizes, rounds=arguments.rounds)
    results = Results()
    bench = Bench(sizes, results)
    with Team(list(LIBRARIES)) as team:
        with new_cluster(embedded=arguments.embedded) as cluster:
            title = cluster.title
            bench.run(cluster, team)
        with new_cluster(embedded=arguments.embedded) as cluster:
            bench.run_lists(cluster, team)
        about = machine(title, sizes.rounds, team.absent)
    print(f"On {title}:\n\n{tables(results)}")
    for name, why in team.absent.items():
        print(f"not measured: {name}: {why}", file=sys.stderr)
    figures = as_json(results, about)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    if arguments.docs:
        text = page(results, about, live_docs.kept_section())
        (ROOT / "docs" / "benchmarks.md").write_text(text)
        subprocess.run([sys.executable, ROOT / "docs" / "draw.py"], check=True)
    if arguments.embedded:
        print("not measured: one watch for all labs: needs a real control plane", file=sys.stderr)
        return
    found = live.run(live.sizes_of(quick=arguments.quick, rounds=arguments.rounds))
    print(live.shown(found))
    if arguments.json:
        arguments.json.write_text(json.dumps({**figures, "live": found}, indent=1) + "\n")
    if arguments.docs:
        live_docs.write(found)


if __name__ == "__main__":
    main()
