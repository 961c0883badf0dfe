"""What the command line promises: quick help, one line for what a user can mend, and exit codes."""

import functools
import importlib
import re
import shlex
import subprocess
import sys
import types
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest

from maquette import cli
from maquette.version import __version__


@dataclass(frozen=True)
class Loudly:
    """With a loud voice."""

    volume: int = 3

    def __post_init__(self):
        if self.volume > 11:
            raise ValueError(f"greet: volume is {self.volume}; it goes up to eleven")


@dataclass(frozen=True)
class Softly:
    """With a soft voice."""


@dataclass(frozen=True)
class GreetConfig:
    """Greet someone."""

    name: str
    """Who is greeted."""
    times: int = 1
    voice: Softly | Loudly = Softly()

    def __post_init__(self):
        if self.times < 1:
            raise ValueError(f"greet: times is {self.times}; give at least 1")


@pytest.fixture
def greet(monkeypatch):
    """`maquette greet`, which does what the returned function is told to: call it with a function of the config."""
    module = types.ModuleType("maquette_greet")
    module.GreetConfig = GreetConfig
    monkeypatch.setitem(sys.modules, "maquette_greet", module)
    monkeypatch.setitem(cli.COMMANDS, "greet", cli.Command("maquette_greet", "GreetConfig", "greet", "greet someone"))
    monkeypatch.setitem(cli.COMMANDS, "say hello", cli.Command("maquette_greet", "GreetConfig", "greet", "say hello"))

    def does(action):
        module.greet = action

    does(lambda config: print(f"hello {config.name}" * config.times))
    return does


ENDLESS_HELP = """
import sys
from maquette.cli import main

while True:
    if code := main(["--help"]):
        sys.exit(code)
"""


def raising(error: BaseException):
    def action(config):
        raise error

    return action


def python(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, **options)


def test_help_names_every_command_and_imports_neither_torch_nor_tyro():
    code = "import sys; import maquette.cli as c; c.main(['--help']); print({'torch', 'tyro'} & {*sys.modules})"
    result = python("-c", code)
    assert result.returncode == 0
    assert result.stdout.endswith("set()\n")
    for name in cli.COMMANDS:
        assert f"  {name} " in result.stdout


def test_every_command_of_the_table_exists():
    for command in cli.COMMANDS.values():
        module = importlib.import_module(command.module)
        assert hasattr(module, command.config)
        assert callable(getattr(module, command.run))


def test_no_command_is_a_call_for_help(capsys):
    assert cli.main([]) == 0
    assert "usage: maquette COMMAND" in capsys.readouterr().out


def test_version_is_that_of_the_package(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"maquette {__version__}\n"


def test_arguments_become_the_config(greet, capsys):
    assert cli.main(["greet", "--name", "Ada", "--times", "2"]) == 0
    assert capsys.readouterr().out == "hello Adahello Ada\n"


def test_a_command_of_two_words_is_found(greet, capsys):
    assert cli.main(["say", "hello", "--name", "Ada"]) == 0
    assert capsys.readouterr().out == "hello Ada\n"


def test_the_first_word_of_two_lists_its_commands(greet, capsys):
    assert cli.main(["say"]) == 0
    out = capsys.readouterr().out
    assert "say hello" in out and "usage: maquette say COMMAND" in out


def test_an_unknown_command_suggests_the_nearest(capsys):
    assert cli.main(["reconstuct", "photo.png"]) == 2
    assert capsys.readouterr().err == "maquette: unknown command 'reconstuct'; did you mean 'reconstruct'?\n"
    assert cli.main(["xyz"]) == 2
    assert "one of reconstruct, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        ("", "missing --name STR"),
        ("--name Ada --times x", "Error parsing --times"),
        ("--nam Ada", "missing --name STR; unknown argument '--nam', did you mean '--name'?"),
        ("--name Ada --tims 3", "unknown argument '--tims', did you mean '--times'?"),
        ("--name Ada --qqqq 3", "unknown argument '--qqqq'"),
        ("--name Ada Bob", "unknown argument 'Bob'"),
        ("--name Ada voice:lowdly", "unknown argument 'voice:lowdly', did you mean 'voice:loudly'?"),
        ("--name Ada voice:loudly --voice.volum 3", "unknown argument '--voice.volum', did you mean '--voice.volume'?"),
        ("--name Ada voice:loudly --voice.volume x", "Error parsing --voice.volume"),
        ("--name", "Missing value for argument '--name'"),
    ],
)
def test_wrong_arguments_are_one_line_with_the_nearest_right_one(greet, arguments, wrong, capsys):
    greet(raising(AssertionError("ran")))
    assert cli.main(["greet", *arguments.split()]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"maquette: greet: {wrong}")
    assert captured.err.endswith("; maquette greet --help lists all arguments\n")
    assert captured.err.count("\n") == 1 and captured.out == ""


def test_help_of_a_command_is_no_error(greet, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["greet", "--help"])
    assert stop.value.code == 0
    assert "Who is greeted." in capsys.readouterr().out


def test_a_config_that_contradicts_itself_is_one_line(greet, capsys):
    assert cli.main(["greet", "--name", "Ada", "--times", "0"]) == 2
    assert capsys.readouterr().err == "maquette: greet: times is 0; give at least 1\n"
    assert cli.main(["greet", "--name", "Ada", "voice:loudly", "--voice.volume", "12"]) == 2
    assert capsys.readouterr().err == "maquette: greet: volume is 12; it goes up to eleven\n"


def test_options_of_a_command_may_stand_after_those_of_a_choice(greet):
    seen = []
    greet(seen.append)
    assert cli.main(["greet", "voice:loudly", "--voice.volume", "5", "--times", "2", "--name", "Ada"]) == 0
    assert seen == [GreetConfig("Ada", 2, Loudly(5))]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("sample: n is 0;\n ask for more"), "sample: n is 0; ask for more"),
        (ValueError(), "ValueError"),
        (FloatingPointError("loss chamfer is nan at step 3"), "loss chamfer is nan at step 3"),
        (FileNotFoundError(2, "No such file or directory", "a.png"), "a.png: No such file or directory"),
        (OSError("a.glb: is truncated"), "a.glb: is truncated"),
        (OSError(28, "No space left on device", "out/mesh.glb"), "out/mesh.glb: the disk is full"),
        (OSError(28, "No space left on device"), "the disk is full"),
        (MemoryError(), "not enough memory; try smaller pictures, batches or grids"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 4 TB.\nframe #0"),
            "not enough memory ([enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 4 TB.); "
            "try smaller pictures, batches or grids",
        ),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_exit_code_2(greet, capsys, error, line):
    greet(raising(error))
    assert cli.main(["greet", "--name", "Ada"]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"maquette: {line}\n"
    assert captured.out == ""


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("shape mismatch"), TypeError("x"), IndexError("x")])
def test_a_bug_keeps_its_traceback(greet, error):
    greet(raising(error))
    with pytest.raises(type(error)):
        cli.main(["greet", "--name", "Ada"])


def test_debug_shows_the_traceback(greet, monkeypatch):
    greet(raising(ValueError("n is 0")))
    with pytest.raises(ValueError, match="n is 0"):
        cli.main(["greet", "--name", "Ada", "--debug"])
    monkeypatch.setenv("MAQUETTE_DEBUG", "1")
    with pytest.raises(ValueError, match="n is 0"):
        cli.main(["greet", "--name", "Ada"])
    monkeypatch.setenv("MAQUETTE_DEBUG", "0")
    assert cli.main(["greet", "--name", "Ada"]) == 2


def test_ctrl_c_is_one_line_and_exit_code_130(greet, capsys):
    greet(raising(KeyboardInterrupt()))
    assert cli.main(["greet", "--name", "Ada"]) == 130
    assert capsys.readouterr().err == "maquette: interrupted\n"


def test_a_warning_is_one_line(greet, capsys):
    greet(lambda config: warnings.warn("load: a.obj:\n no texture", stacklevel=1))
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert cli.main(["greet", "--name", "Ada"]) == 0
    assert capsys.readouterr().err == "maquette: warning: load: a.obj: no texture\n"


def test_a_reader_that_leaves_early_ends_the_command_in_silence():
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS_HELP], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline().startswith("usage: maquette COMMAND")
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full, as Linux has")
def test_output_to_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "maquette", "--help"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert result.returncode == 2
    assert result.stderr == "maquette: the disk is full\n"


def test_the_installed_command_and_the_module_are_the_same():
    result = python("-m", "maquette", "recnstruct")
    assert result.returncode == 2
    assert result.stderr == "maquette: unknown command 'recnstruct'; did you mean 'reconstruct'?\n"


def test_a_file_in_place_of_the_second_word_means_the_usual_command(greet, monkeypatch, capsys):
    monkeypatch.setitem(cli.IMPLIED, "say", "hello")
    assert cli.main(["say", "--name", "Ada"]) == 0
    assert capsys.readouterr().out == "hello Ada\n"
    # A word that is neither a file nor an option is a misspelt command.
    assert cli.main(["say", "helo"]) == 2
    assert capsys.readouterr().err == "maquette: unknown command 'say helo'; did you mean 'say hello'?\n"


def test_every_implied_command_exists():
    assert {f"{group} {word}" for group, word in cli.IMPLIED.items()} <= set(cli.COMMANDS)


# What the documentation shows -----------------------------------------------------------------------------------------


HOME = Path(__file__).parents[1]
TEXTS = [HOME / "README.md", *sorted((HOME / "docs").glob("*.md"))]


@functools.cache
def commands_shown() -> tuple[list[tuple[str, list[str]]], list[tuple[str, list[str]]]]:
    """(page, words after `maquette`) of the lines of fenced blocks, and of what the text quotes between backticks."""
    fenced, quoted = [], []
    for path in TEXTS:
        for index, part in enumerate(path.read_text(encoding="utf-8").replace("\\\n", " ").split("```")):
            if index % 2:
                lines = (shlex.split(line, comments=True) for line in part.splitlines() if "maquette " in line)
                # Also `torchrun ... -m maquette`; lines of Python have the word elsewhere.
                after = ((words, words.index("maquette") + 1) for words in lines if "maquette" in words)
                fenced += [(path.name, words[at:]) for words, at in after if words[0] in ("maquette", "torchrun")]
            else:
                told = (shlex.split(line)[1:] for line in re.findall(r"`(maquette [a-z][^`]*)`", part))
                quoted += [(path.name, [word for word in words if word != "--help"]) for words in told]
    return fenced, quoted


@pytest.fixture
def parsing_alone(monkeypatch):
    """Commands are parsed, their configs made and checked, and nothing is run."""
    for name in {" ".join(words[:k]) for half in commands_shown() for _, words in half for k in (1, 2)} | {
        f"{group} {word}" for group, word in cli.IMPLIED.items()
    }:
        if command := cli.COMMANDS.get(name):
            monkeypatch.setattr(importlib.import_module(command.module), command.run, lambda config: None)


def test_every_command_of_the_documentation_is_accepted(parsing_alone, capsys):
    fenced, quoted = commands_shown()
    assert len(fenced) > 50 and len(quoted) > 20
    for page, words in fenced:
        assert cli.main(words) == 0, f"{page}: maquette {' '.join(words)}: {capsys.readouterr().err}"
    for page, words in quoted:
        # The text leaves out what a command cannot do without, but names nothing that there is not.
        cli.main(words)
        told = capsys.readouterr().err
        assert "unknown" not in told and "Error" not in told, f"{page}: maquette {' '.join(words)}: {told}"
