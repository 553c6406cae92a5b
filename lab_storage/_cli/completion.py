"""What a shell completes: contexts of the kubeconfig, and reasons to fail fast."""

from __future__ import annotations

import click

from lab_storage._cli.cluster import context_names
from lab_storage._cli.failures import FailedError
from lab_storage.models import WAITING_REASONS

__all__ = ["complete_contexts", "complete_reasons"]


def complete_contexts(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Give the contexts that begin so, of the kubeconfig that is named on the command line."""
    try:
        names = context_names(context.params.get("kubeconfig"))
    except FailedError:
        return []
    return [name for name in names if name.startswith(incomplete)]


def complete_reasons(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Give the reasons that begin like the last of a list with commas."""
    done, comma, last = incomplete.rpartition(",")
    reasons = ["usual", *sorted(WAITING_REASONS)]
    return [f"{done}{comma}{reason}" for reason in reasons if reason.startswith(last)]
