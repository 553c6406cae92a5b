"""Sums up the closing lines of all of pytest's runs, and fails if too many tests were run again.

``python3 .ci/summary.py LOG`` reads what tox has written. Its last line looks like pytest's.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

#: One test or two may be unlucky on a machine that is shared; more are a defect.
MOST_RERUNS = 3
CLOSING = re.compile(
    r"^=+ (.*\b(?:passed|failed|error|errors)\b.*) in ([\d.]+)s.* =+$", re.MULTILINE
)


def summarize(log: str) -> tuple[str, int]:
    """Give the line that sums up a log, and how often a test was run again."""
    counts: Counter[str] = Counter()
    seconds = 0.0
    for outcomes, duration in CLOSING.findall(re.sub(r"\x1b\[[\d;]*m", "", log)):
        seconds += float(duration)
        for number, outcome in re.findall(r"(\d+) ([a-z]+)", outcomes):
            counts[outcome] += int(number)
    said = ", ".join(f"{number} {outcome}" for outcome, number in counts.items())
    return f" {said or 'no tests ran'} in {seconds:.2f}s ".center(80, "="), counts["rerun"]


if __name__ == "__main__":
    line, reruns = summarize(Path(sys.argv[1]).read_text(errors="replace"))
    if reruns > MOST_RERUNS:
        print(f"{reruns} tests were run again; CI allows {MOST_RERUNS}. Look for RERUN above.")
    print(line)
    sys.exit(reruns > MOST_RERUNS)
