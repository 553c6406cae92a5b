"""The program ``lab-storage``: its commands, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence

import click

from lab_storage._cli.commands import COMMANDS
from lab_storage._cli.demo import demo
from lab_storage._cli.failures import Exit, FailedError, OutputLostError
from lab_storage._cli.streams import complain, lenient_streams
from lab_storage._cli.verbs import HINTS, translate
from lab_storage._version import __version__

__all__ = ["run"]

# As in a shell, if SIGPIPE ended the program.
_PIPE_CLOSED = 141


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 refused or missing, 2 usage or an invalid file, 3 timeout, "
    "4 something is wrong with the pod, 5 done but the output could not be written, "
    "130 interrupted by Ctrl-C.",
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="lab-storage")
@click.pass_context
def program(context: click.Context) -> None:
    """Create, watch, read and delete notebook labs in Kubernetes.

    Select a lab by its manifest file (-f), by names, or both. Start with "demo".

    The verbs of kubectl work too: "apply", "describe", "get pod", "get namespaces",
    "delete pod" and "delete namespace".
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
        The command line, without the program's name.

    Returns
    -------
    int
        The exit code. What went wrong is one line on the standard error.
    """
    with lenient_streams() as output:
        code = _run(translate(arguments))
        output.flush()
        if output.failure is None or code != Exit.DONE:
            return code
        if isinstance(output.failure, BrokenPipeError):
            return _PIPE_CLOSED
        text = f"standard output: {output.failure.strerror or output.failure}"
        return _end(Exit.OUTPUT_LOST, text)


def _run(arguments: list[str]) -> int:
    try:
        code = program.main(arguments, prog_name="lab-storage", standalone_mode=False)
    except FailedError as error:
        return _end(error.code, str(error))
    except click.UsageError as error:
        if arguments and arguments[0] in HINTS:
            return _end(Exit.USAGE, HINTS[arguments[0]])
        path = error.ctx.command_path if error.ctx is not None else "lab-storage"
        return _end(Exit.USAGE, f"{error.format_message()} See {path} --help")
    except (click.Abort, KeyboardInterrupt):
        # Between the commands and the signal handler of one.
        return _end(Exit.SIGNAL + 2, "interrupted")
    except OutputLostError:
        return Exit.DONE
    return code if isinstance(code, int) else Exit.DONE


def _end(code: int, text: str) -> int:
    complain(text)
    return code
