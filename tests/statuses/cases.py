"""All cases, by name."""

from __future__ import annotations

from . import ends, lives, nodes, starts

CASES = {each.name: each for each in (*ends.CASES, *starts.CASES, *lives.CASES, *nodes.CASES)}
