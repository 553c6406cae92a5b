"""The program ``lab-storage``: its commands, and how it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from lab_storage._cli.commands import COMMANDS
from lab_storage._cli.demo import demo
from lab_storage._cli.failures import Exit, FailedError, OutputClosedError
from lab_storage._cli.screen import be_lenient_with_encodings
from lab_storage._version import __version__

__all__ = ["run"]

# As a shell has it of a program that SIGPIPE ended.
_PIPE_CLOSED = 141


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 refused or not there, 2 usage or a bad file, 3 timeout, "
    "130 interrupted by Ctrl-C.",
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="lab-storage")
@click.pass_context
def program(context: click.Context) -> None:
    """Create, watch, read and delete notebook labs in Kubernetes.

    Which lab is said by its file (-f), by its names, or by both. Begin with "demo".
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(Exit.USAGE)


for command in (*COMMANDS, demo):
    program.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Run the program.

    Parameters
    ----------
    arguments
        Those of the command line, without the program's name.

    Returns
    -------
    int
        The exit code. What went wrong stands in one line on the standard error.
    """
    be_lenient_with_encodings()
    try:
        code = program.main(list(arguments), prog_name="lab-storage", standalone_mode=False)
        sys.stdout.flush()
    except FailedError as error:
        return _end(error.code, str(error))
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else "lab-storage"
        return _end(Exit.USAGE, f"{error.format_message()} See {path} --help")
    except (click.Abort, KeyboardInterrupt):
        # Between the commands and the signal handler of one.
        return _end(Exit.SIGNAL + 2, "interrupted")
    except (OutputClosedError, BrokenPipeError):
        # What is left to write would fail once more, with a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    return code if isinstance(code, int) else Exit.DONE


def _end(code: int, text: str) -> int:
    click.secho(f"lab-storage: {text}", err=True, fg="red" if sys.stderr.isatty() else None)
    return code
