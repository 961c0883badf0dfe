"""`maquette COMMAND ...`: a small table of commands, so that help needs no torch; a command imports its own module.

Each command is a config dataclass that tyro turns into arguments, and a function that runs it.
"""

import contextlib
import copy
import dataclasses
import difflib
import errno
import importlib
import io
import os
import re
import sys
import textwrap
import traceback
import typing
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from maquette.version import __version__


@dataclass(frozen=True)
class Command:
    """Where a command lives; nothing of it is imported before it is chosen."""

    module: str
    config: str
    """Frozen dataclass of its arguments."""
    run: str
    """Function of one config."""
    summary: str
    presets: str = ""
    """Module with `PRESETS`, named configs to begin from by `--preset NAME`, if there is one."""


COMMANDS = {
    "reconstruct": Command(
        "maquette.reconstruct",
        "ReconstructConfig",
        "reconstruct_pictures",
        "pictures to solids: GLB, OBJ, PLY and a page",
    ),
    "mask": Command("maquette.masking", "MaskConfig", "mask_pictures", "the object of each picture: mask and cut-out"),
    "render picture": Command(
        "maquette.film.picture",
        "PictureConfig",
        "draw_picture",
        "a shape from one side: colours, depth, normals, silhouette, wireframe",
    ),
    "render turntable": Command(
        "maquette.film.turntable", "TurntableConfig", "film_turntable", "film a shape from all sides: GIF, MP4, WebP"
    ),
    "render dolly": Command(
        "maquette.film.dolly",
        "DollyConfig",
        "film_dolly",
        "film a dolly zoom: the lens widens, the middle keeps its size",
    ),
    "render recolor": Command(
        "maquette.film.recolor",
        "RecolorConfig",
        "draw_recolored",
        "colour a shape along an axis: picture, film or file",
    ),
    "render relative": Command(
        "maquette.film.relative", "RelativeConfig", "draw_relative", "draw four relative camera transforms"
    ),
    "unproject": Command(
        "maquette.data.unproject", "UnprojectConfig", "unproject_views", "RGB-D views to a coloured cloud"
    ),
    "inspect": Command("maquette.inspection", "InspectConfig", "inspect_file", "what a file holds, and its faults"),
    "prepare synthetic": Command(
        "maquette.data.prepare.synthetic",
        "PrepareSynthetic",
        "prepare_synthetic",
        "training data from procedural objects",
    ),
    "prepare meshes": Command(
        "maquette.data.prepare.meshes", "PrepareMeshes", "prepare_meshes", "training data from a folder of models"
    ),
    "prepare shapenet": Command(
        "maquette.data.prepare.shapenet", "PrepareShapenet", "prepare_shapenet", "training data from ShapeNetCore"
    ),
    "data info": Command(
        "maquette.data.info", "DataInfo", "tell_about", "what a data set holds, and what is wrong with it"
    ),
    "fit points": Command("maquette.fitting.points", "FitPoints", "fit_points", "a point cloud from noise to a target"),
    "fit voxels": Command("maquette.fitting.voxels", "FitVoxels", "fit_voxels", "a voxel grid from noise to a target"),
    "fit mesh": Command("maquette.fitting.mesh", "FitMesh", "fit_mesh", "a sphere moulded to a target by 3D losses"),
    "fit silhouettes": Command(
        "maquette.fitting.silhouettes",
        "FitSilhouettes",
        "fit_silhouettes",
        "a sphere moulded until its outlines are those of masks from known cameras",
    ),
    "fit field": Command(
        "maquette.fitting.field", "FitField", "fit_field", "a signed distance, which may get holes, to a target"
    ),
    "fit sweep": Command(
        "maquette.fitting.sweep", "FitSweep", "fit_sweep", "optimisers and learning rates compared, as table and plot"
    ),
    "train": Command(
        "maquette.train", "TrainConfig", "train", "train a single-picture model", presets="maquette.presets"
    ),
    "sweep": Command(
        "maquette.sweep", "SweepConfig", "sweep", "train over a grid of settings and compare: tables, F-score curves"
    ),
    "evaluate": Command("maquette.evaluate", "EvaluateConfig", "evaluate_run", "measure a run beside its baselines"),
    "explain": Command(
        "maquette.explain", "ExplainConfig", "explain_pictures", "heat maps: what in a picture makes the solid so"
    ),
    "compare": Command("maquette.evaluate.compare", "CompareConfig", "compare_runs", "evaluated runs side by side"),
    "diagnose": Command(
        "maquette.diagnose.program",
        "DiagnoseConfig",
        "diagnose_run",
        "where a run fails: by part, view, thickness, distance to its training set",
    ),
    "robustness": Command(
        "maquette.diagnose.disturbing",
        "RobustnessConfig",
        "sweep_disturbances",
        "scores of a run when its pictures are disturbed",
    ),
    "latent map": Command(
        "maquette.latent.map", "MapConfig", "map_codes", "the codes of pictures on a map, near where they are alike"
    ),
    "latent walk": Command("maquette.latent.walk", "WalkConfig", "walk", "the solids between two pictures, as a film"),
    "errors": Command(
        "maquette.diagnose.files", "ErrorsConfig", "write_file_errors", "colour a shape by its distance to the truth"
    ),
    "view": Command("maquette.view", "ViewConfig", "view", "shapes, or a run's objects, in the browser: live"),
    "report": Command(
        "maquette.report", "ReportConfig", "write_report", "one page of evaluated runs: scores, objects in 3D, errors"
    ),
}

IMPLIED = {"render": "picture"}
"""The second word of a command of two, where a file stands in its place."""

ASIDES = ("For full helptext", "Argument helptext", "Available subcommands", "Perhaps you meant")
"""How parts of tyro's boxes begin that tell nothing of what is wrong."""

USAGE_ERROR, INTERRUPTED, OUTPUT_CLOSED = 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code: 0, 2 for what a user can mend, 130 for Ctrl-C.

    What a user can mend is told in one line on stderr; everything else is a bug of ours and keeps its traceback.
    `--debug` or MAQUETTE_DEBUG=1 shows the traceback of the former, too.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words or os.environ.get("MAQUETTE_DEBUG", "0") not in ("", "0")
    words = [word for word in words if word != "--debug"]
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            _run(words)
            sys.stdout.flush()
        except KeyboardInterrupt:
            return _fail("interrupted", INTERRUPTED)
        except BrokenPipeError:
            # Whoever read our output has left. Python would complain once more when it flushes stdout at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return OUTPUT_CLOSED
        except (ValueError, OSError, FloatingPointError, MemoryError) as error:
            if debug:
                raise
            return _fail(_line(error), USAGE_ERROR)
        except RuntimeError as error:
            # torch has no exception type of its own for a CPU allocation that fails.
            if debug or not ("out of memory" in str(error) or "can't allocate memory" in str(error)):
                raise
            return _fail(_line(MemoryError(str(error).split("\n")[0])), USAGE_ERROR)
    return 0


def _run(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help(""))
        return
    if words[0] in ("-V", "--version"):
        print(f"maquette {__version__}")
        return
    group = words[0]
    if any(name.startswith(f"{group} ") for name in COMMANDS):
        if len(words) == 1 or words[1] in ("-h", "--help"):
            print(_help(f"{group} "))
            return
        if group in IMPLIED and f"{group} {words[1]}" not in COMMANDS and _is_argument(words[1]):
            words.insert(1, IMPLIED[group])
        _call(" ".join(words[:2]), words[2:])
    else:
        _call(group, words[1:])


def _is_argument(word: str) -> bool:
    """A file or an option rather than a misspelt command."""
    return word.startswith("-") or "." in word or os.sep in word or os.path.exists(word)


def _call(name: str, arguments: list[str]) -> None:
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(COMMANDS)}"
        raise ValueError(f"unknown command {name!r}; {hint}")
    command = COMMANDS[name]
    module = importlib.import_module(command.module)
    run: Callable[..., object] = getattr(module, command.run)
    preset, arguments = _preset(command, arguments)
    run(_parse(getattr(module, command.config), name, arguments, preset))


def _preset(command: Command, arguments: list[str]) -> tuple[object, list[str]]:
    """The config that `--preset NAME` names, if any, and the other arguments; what has no default is to be given."""
    words = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--preset=") else [word])]
    if not command.presets or "--preset" not in words:
        return None, arguments
    import tyro

    presets = importlib.import_module(command.presets).PRESETS
    at = words.index("--preset")
    name = words[at + 1] if at + 1 < len(words) else ""
    if name not in presets:
        near = difflib.get_close_matches(name, presets, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(presets)}"
        raise ValueError(f"unknown preset {name!r}; {hint}")
    preset = copy.copy(presets[name])
    for field in dataclasses.fields(preset):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            object.__setattr__(preset, field.name, tyro.MISSING)
    return preset, words[:at] + words[at + 2 :]


def _parse(config: type, name: str, arguments: list[str], preset: object = None) -> object:
    """The config that the arguments say, beginning from a preset if there is one."""
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            # Options of the command itself may also stand after those of a choice: `output:depth --out x.png`.
            anywhere = (tyro.conf.CascadeSubcommandArgs,)
            begun: dict[str, typing.Any] = {} if preset is None else {"default": preset}
            return tyro.cli(config, prog=f"maquette {name}", args=arguments, config=anywhere, **begun)
    except SystemExit as stop:
        if (contradiction := _contradiction(stop)) is not None:
            raise contradiction from None
        if stop.code != USAGE_ERROR:
            raise
        wrong = "; ".join(_unboxed(said.getvalue(), config))
        raise ValueError(f"{name}: {wrong}; maquette {name} --help lists all arguments") from None


def _unboxed(box: str, config: type) -> list[str]:
    """What tyro tells in a box of several parts, each in a few words, with the nearest that there is to the unknown."""
    rows = [line.strip("│").rstrip() for line in box.strip().splitlines()[1:] if not line.startswith("╰")]
    parts = "\n".join("" if set(row.strip()) <= set("─-") else row for row in rows).split("\n\n")
    there = [*_options(config), *re.findall(r"[\w.]+:[\w-]+", box.partition("Available subcommands:")[2])]
    told = []
    for part in parts:
        text = " ".join(part.split())
        if text.startswith("Missing from"):
            # Each argument, and deeper in what it is for.
            listed = textwrap.dedent(re.sub("^ *Missing from.*$", "", part, flags=re.MULTILINE))
            told.append("missing " + ", ".join(re.findall(r"^\S.*$", listed, re.MULTILINE)))
        elif text.startswith("Unrecognized options:"):
            words = text.partition(":")[2].replace(",", " ").split()
            # After an unknown option stands its value.
            told += [_unknown(word, there) for word in words if word.startswith("-")] or [_unknown(words[0], there)]
        elif text and not text.startswith(ASIDES):
            told.append(text.rstrip("."))
    return told


def _unknown(word: str, there: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, there, n=1)
    return f"unknown argument {word!r}" + (f", did you mean {near[0]!r}?" if near else "")


def _options(config: type, prefix: str = "--") -> Iterator[str]:
    """The options of a config and of all that may be chosen in it, as tyro spells them."""
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        option = prefix + field.name.replace("_", "-")
        yield option
        for choice in (hints[field.name], *typing.get_args(hints[field.name])):
            if isinstance(choice, type) and dataclasses.is_dataclass(choice):
                yield from _options(choice, f"{option}.")


def _contradiction(stop: SystemExit) -> ValueError | None:
    """What a config that contradicts itself, or a part of it, raised; tyro puts it into a box, we want its one line."""
    error = stop.__context__
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        if isinstance(error, ValueError) and any(frame.name == "__post_init__" for frame in frames):
            return error
        error = error.__context__
    return None


def _help(prefix: str) -> str:
    names = [name for name in COMMANDS if name.startswith(prefix)]
    width = max(map(len, names))
    rows = [f"  {name:<{width}}  {COMMANDS[name].summary}" for name in names]
    usage = f"usage: maquette {prefix}COMMAND [arguments]   (maquette {prefix}COMMAND --help lists them)"
    closing = "  --version  --debug (tracebacks)"
    return "\n".join([usage, "", *rows, "", closing])


def _line(error: Exception) -> str:
    """An error in one line; an operating system's error with its path first."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}the disk is full"
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) and not text.startswith("train: "):  # which knows what to lower
        return f"not enough memory{f' ({text})' if text else ''}; try smaller pictures, batches or grids"
    return text or type(error).__name__


def _fail(line: str, code: int) -> int:
    print(f"maquette: {line}", file=sys.stderr)
    return code


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    """A warning as one line that says what, not where in our code."""
    print(f"maquette: warning: {' '.join(str(message).split())}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
