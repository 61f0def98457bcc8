"""The command: verbs found by their files, errors as one message and an exit code."""

from __future__ import annotations

import subprocess
import sys
import types

import click
import pytest

import graftlm
from graftlm.cli import main as cli
from graftlm.core import errors


@pytest.fixture
def verb(monkeypatch):
    """Add a verb `probing` that does what the test says."""

    def add(action):
        @click.command()
        @click.option("--size", type=int, default=1)
        def command(size):
            return action(size)

        module = types.ModuleType("graftlm.cli.probing")
        module.command = command
        monkeypatch.setitem(sys.modules, "graftlm.cli.probing", module)
        monkeypatch.setattr(cli, "verbs", lambda: ["list", "probing"])

    return add


def raiser(fault):
    def action(size):
        raise fault

    return action


def test_the_verbs_are_the_files(capsys):
    assert set(cli.verbs()) == {
        "cache", "check", "compare", "demo", "describe", "evaluate", "export", "fit", "list", "new", "predict", "run",
        "schema",
    }  # fmt: skip
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for each in cli.verbs():
        assert f"  {each} " in shown
        assert cli.summary(each).endswith("."), each


def test_every_verb_explains_itself(capsys):
    for each in cli.verbs():
        assert cli.main([each, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "--debug" in shown
        assert "\\b" not in shown  # examples keep their lines


def test_without_a_verb_it_shows_help_and_tells_that_something_is_missing(capsys):
    assert cli.main([]) == 2
    both = capsys.readouterr()
    assert "graft demo" in both.out + both.err


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"graft, version {graftlm.__version__}\n"


def test_an_unknown_verb_is_refused_with_the_near_one(capsys):
    assert cli.main(["lst"]) == 2
    assert "There is no verb 'lst'. Did you mean 'list'?" in capsys.readouterr().err


def test_an_unknown_option_and_a_wrong_value_are_refused(capsys, verb):
    verb(lambda size: None)
    assert cli.main(["probing", "--sice", "3"]) == 2
    assert "--sice" in capsys.readouterr().err
    assert cli.main(["probing", "--size", "many"]) == 2
    assert "'many' is not a valid int" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (errors.UserError("expected this, got that, do so"), 2),
        (errors.DataError("rows.csv:3: no text"), 2),
        (errors.GateMissed("no gain"), 3),
        (errors.Interrupted("stopped; resume with --resume"), 130),
        (errors.GraftError("something"), 1),
    ],
)
def test_an_error_on_purpose_is_its_message_and_its_code(capsys, verb, fault, code):
    verb(raiser(fault))
    assert cli.main(["probing"]) == code
    both = capsys.readouterr()
    assert both.out == ""
    assert both.err == f"Error: {fault}\n"


def test_the_users_interrupt_is_130(capsys, verb):
    verb(raiser(KeyboardInterrupt()))
    assert cli.main(["probing"]) == 130
    assert "Stopped." in capsys.readouterr().err


def test_an_unexpected_failure_is_one_line_and_a_way_on(capsys, verb):
    verb(raiser(ZeroDivisionError("division\nby zero")))
    assert cli.main(["probing"]) == 1
    shown = capsys.readouterr().err
    assert shown.splitlines() == [
        "Unexpected ZeroDivisionError: division by zero",
        "Run the same command with --debug for the whole trace.",
    ]


@pytest.mark.parametrize("arguments", [["--debug", "probing"], ["probing", "--debug"]])
@pytest.mark.parametrize("fault", [ZeroDivisionError("zero"), errors.UserError("wrong")])
def test_debug_shows_the_trace(capsys, verb, fault, arguments):
    verb(raiser(fault))
    assert cli.main(arguments) in (1, 2)
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_verb_may_return_its_exit_code(verb):
    verb(lambda size: size)
    assert cli.main(["probing", "--size", "3"]) == 3
    verb(lambda size: None)
    assert cli.main(["probing"]) == 0


def test_notes_go_to_standard_error_and_warnings_say_so(capsys, verb):
    from graftlm.core import log

    def action(size):
        log.note("chose bf16")
        log.warn("two classes are missing")
        click.echo("the answer")

    verb(action)
    assert cli.main(["probing"]) == 0
    both = capsys.readouterr()
    assert both.out == "the answer\n"
    assert both.err == "chose bf16\nwarning: two classes are missing\n"


def test_a_pipe_that_closes_early_is_no_error():
    command = f"{sys.executable} -m graftlm schema | head -c 10"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout) == 10


def test_python_m_graftlm_is_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "graftlm", "list", "metod"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: There is no kind of plug-in called 'metod'. Did you mean 'method'?")
