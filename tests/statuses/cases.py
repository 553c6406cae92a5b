"""All cases, by name."""

from __future__ import annotations

from . import alone, ends, lives, nodes, starts

CASES = {
    each.name: each for module in (ends, starts, lives, nodes, alone) for each in module.CASES
}
