"""The command `graft`: finds its verbs by their files, and turns errors into messages and exit codes."""

from __future__ import annotations

import ast
import importlib
import logging
import os
import pkgutil
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from graftlm import __version__
from graftlm.core import processes
from graftlm.core.errors import GraftError, near

FOLDER = Path(__file__).parent


@dataclass
class State:
    """What one call of the command was told before its verb."""

    debug: bool = False


def verbs() -> list[str]:
    """Return the names of all verbs, sorted; imports none of them."""
    found = [info.name for info in pkgutil.iter_modules([str(FOLDER)])]
    return sorted(name for name in found if name != "main" and not name.startswith("_"))


def summary(verb: str) -> str:
    """Return the first line of a verb's docstring, without importing it."""
    text = ast.get_docstring(ast.parse((FOLDER / f"{verb}.py").read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].strip()


class Verbs(click.Group):
    """A group whose commands are files, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return verbs()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in verbs():
            return None
        command: click.Command = importlib.import_module(f"graftlm.cli.{cmd_name}").command
        command.name = cmd_name
        # raw docstrings spell click's mark for "leave these lines as they are" in two characters
        command.help = (command.help or "").replace("\\b\n", "\b\n")
        if not any(option.name == "debug" for option in command.params):
            command.params.append(_debug())
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None:
            raise click.UsageError(f"There is no verb '{name}'.{near(name, verbs())} Verbs: {', '.join(verbs())}.", ctx)
        return name, command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, summary(verb)) for verb in verbs()])


def _debug() -> click.Option:
    """Return the option `--debug`, which every verb takes before and after its name."""

    def keep(ctx: click.Context, _: click.Parameter, given: bool) -> None:
        if given:
            ctx.ensure_object(State).debug = True

    text = "Show the whole trace of an error."
    return click.Option(["--debug"], is_flag=True, expose_value=False, callback=keep, help=text)


root = Verbs(
    "graft",
    params=[_debug()],
    help="Carry what a pretrained language model knows over to your own text, and get back a small, fast, checked "
    "model.\n\nStart with: graft demo\n\nHelp on one verb: graft VERB --help",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
root = click.version_option(__version__, prog_name="graft")(root)


class _Notes(logging.Handler):
    """Prints what the package says of itself on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(("warning: " if record.levelno >= logging.WARNING else "") + record.getMessage(), err=True)


def _listen() -> None:
    logger = logging.getLogger("graftlm")
    if not any(isinstance(handler, _Notes) for handler in logger.handlers):
        logger.addHandler(_Notes())
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 done; 1 an unexpected failure; 2 what the user gave cannot be used; 3 a gate that the recipe
    asked for was missed; 130 stopped by the user. A verb may return its exit code.
    """
    _listen()
    state = State()
    try:
        code: Any = root.main(
            args=None if args is None else list(args), prog_name="graft", standalone_mode=False, obj=state
        )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:  # the reader of a pipe has had enough; nothing failed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except click.ClickException as fault:
        fault.show()
        return fault.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _say(state, "Stopped.", 130)
    except GraftError as fault:
        return fault.exit_code if fault.told and not state.debug else _say(state, f"Error: {fault}", fault.exit_code)
    except Exception as fault:
        return _say(
            state,
            f"Unexpected {type(fault).__name__}: {' '.join(str(fault).split())}\n"
            "Run the same command with --debug for the whole trace.",
            1,
        )


def _say(state: State, message: str, code: int) -> int:
    if state.debug:
        click.echo(traceback.format_exc(), err=True)
    click.echo(f"process {rank}: {message}" if (rank := processes.place().rank) else message, err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
