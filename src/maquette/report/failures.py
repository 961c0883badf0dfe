"""What `maquette diagnose` and `maquette robustness` have left beside an evaluation, as parts of the report."""

from pathlib import Path

from maquette.diagnose.diagnosis import FILE, read_diagnosis
from maquette.diagnose.page import diagnosis_sections
from maquette.diagnose.program import FOLDER
from maquette.diagnose.robustness import FILE as ROBUSTNESS
from maquette.diagnose.robustness import read_robustness
from maquette.evaluate import html
from maquette.evaluate.runs import Measured, is_bundled
from maquette.report.page import Part


def diagnosis_part(run: Measured, number: int, *, alone: bool) -> Part:
    """What the errors depend on, or which command finds out; `alone`: the report is of one run."""
    title = "Where it fails" if alone else f"Where {run.name} fails"
    folder = run.folder / FOLDER
    if not (folder / FILE).is_file():
        told = f"By part, view, thickness and distance to the training set: `{command('diagnose', run)}` finds out."
        return Part(f"fails-{number}", title, said(told))
    told = "Made by `maquette diagnose` from the same pictures and scores."
    if is_older(folder / FILE, run):
        told += f" The evaluation has been made anew since; `{command('diagnose', run)}` brings this up to date."
    return Part(f"fails-{number}", title, said(told), tuple(diagnosis_sections(read_diagnosis(folder), folder)))


def robustness_part(run: Measured, number: int, *, alone: bool) -> Part:
    """What disturbed pictures do to the scores, or which command finds out."""
    title = "Robustness" if alone else f"Robustness of {run.name}"
    folder = run.folder / "robustness"
    file, plot = folder / ROBUSTNESS, folder / "robustness.png"
    if not (file.is_file() and plot.is_file()):
        told = f"What disturbed pictures do to the scores: `{command('robustness', run)}` finds out."
        return Part(f"robustness-{number}", title, said(told))
    told = "Made by `maquette robustness`: scores of the same objects, their pictures disturbed step by step."
    if is_older(file, run):
        told += f" The evaluation has been made anew since; `{command('robustness', run)}` brings this up to date."
    drawn = html.picture(plot.read_bytes(), "scores under disturbances", kind="plot", mime="image/png")
    remarks = list(read_robustness(folder).remarks)
    return Part(f"robustness-{number}", title, said(told) + f'<div class="wide">{drawn}</div>' + html.listing(remarks))


def said(text: str) -> str:
    """A paragraph; what stands between backquotes is code."""
    pieces = map(html.escaped, text.split("`"))
    return f"<p>{''.join(f'<code>{piece}</code>' if k % 2 else piece for k, piece in enumerate(pieces))}</p>"


def command(name: str, run: Measured) -> str:
    """What makes it: from the run, or for the network that comes with Maquette from its evaluation."""
    is_own = not is_bundled(run.run) and run.folder == run.run / "evaluation"
    return f"maquette {name} {run.run if is_own else run.folder}"


def is_older(file: Path, run: Measured) -> bool:
    """Whether the evaluation was written after the file."""
    return file.stat().st_mtime < (run.folder / "scores.json").stat().st_mtime
