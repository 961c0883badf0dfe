"""`maquette view FILES` or `maquette view RUN`: an interactive viewer in the browser, through viser."""

import contextlib
import importlib.util
import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from maquette.data.dataset import Dataset
from maquette.data.entries import Entry
from maquette.evaluate.opened import open_evaluation
from maquette.io import load
from maquette.models import Run, load_run
from maquette.view.objects import add_objects, objects_of
from maquette.view.stage import Item, Stage, is_empty


@dataclass(frozen=True)
class ViewConfig:
    """Look at shapes in the browser: meshes, clouds, voxels; or at objects beside what a run's network answers.

    Nothing is opened but an address on this machine, which is printed; Ctrl-C ends it. Needs viser:
    pip install 'maquette[view]'.
    """

    what: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Files of shapes, or one folder of a run or an evaluation; nothing for the network that comes with Maquette, with
    --data."""
    data: Path | None = None
    """Of a run: the data set whose objects are shown; the one of the training unless told."""
    split: Literal["train", "val", "test", "all"] = "test"
    """Of a run: which objects. Of the folder of an evaluation they are those that were measured."""
    overlaid: bool = False
    """Files where they are in their own coordinates, not side by side."""
    port: int = 8080
    """Of the address."""
    host: str = "127.0.0.1"
    """Who may see it: this machine alone unless told; 0.0.0.0 is everybody who can reach this machine."""
    open: bool = False
    """Open the browser."""

    def __post_init__(self) -> None:
        if not self.what and self.data is None:
            raise ValueError("view: nothing to look at; give files, a run, or --data for the bundled network")
        folders = [path for path in self.what if path.is_dir()]
        if folders and len(self.what) > 1:
            raise ValueError(f"view: {folders[0]} is a folder; give one run alone, or files of shapes")
        if self.data is not None and self.what and not folders:
            raise ValueError("view: --data belongs to a run, and these are files; leave it out")
        if not 1 <= self.port <= 65535:
            raise ValueError(f"view: port is {self.port}; give one from 1 to 65535")


def view(config: ViewConfig) -> None:
    """Serve until Ctrl-C."""
    with served(config) as address:
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        if config.open:
            import webbrowser

            webbrowser.open(address)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            print("closed")


@contextmanager
def served(config: ViewConfig) -> Iterator[str]:
    """The address of the viewer, which is there as long as the block runs."""
    check_viser()
    check_port(config.host, config.port)
    if not config.what or config.what[0].is_dir():
        folder = config.what[0] if config.what else None
        run, dataset, entries = shown_of(folder, config)
        items = []
    else:
        run, dataset, entries = None, None, ()
        items = [Item(name, load(path)) for name, path in zip(names_of(config.what), config.what, strict=True)]
        empty = [item.name for item in items if is_empty(item.shape)]
        if empty:
            raise ValueError(f"view: nothing is to be seen of {empty[0]}: no cell is half full")
    from viser import ViserServer

    with contextlib.redirect_stdout(io.StringIO()):  # its own greeting, which `verbose` does not silence
        server = ViserServer(host=config.host, port=config.port, label="Maquette", verbose=False)
    stage = Stage(server, overlaid=config.overlaid)
    try:
        if run is None or dataset is None:
            stage.show(items)
        else:
            add_objects(stage, run, dataset, entries)
        shown = "localhost" if config.host in ("0.0.0.0", "::") else config.host
        shown = f"[{shown}]" if ":" in shown else shown  # an address of IPv6
        yield f"http://{shown}:{server.get_port()}"
    finally:
        stage.close()


def check_viser() -> None:
    if importlib.util.find_spec("viser") is None:
        raise ValueError("view: viser is not installed; pip install 'maquette[view]'")


def check_port(host: str, port: int) -> None:
    """An error where the address is taken; viser itself would quietly choose another port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(f"view: {host}:{port} cannot be used: {error.strerror}; choose another --port") from error


def shown_of(folder: Path | None, config: ViewConfig) -> tuple[Run, Dataset, tuple[Entry, ...]]:
    """The run in a folder and the objects of a data set; or those of an evaluation in it."""
    if folder is None or (folder / "config.json").is_file():
        run = load_run(folder)
        return run, *objects_of(run, config.data, config.split)
    if (folder / "scores.json").is_file():
        found = open_evaluation(folder, "view", config.data)
        return found.run, found.dataset, tuple(sorted(found.entries, key=lambda entry: entry.id))
    raise FileNotFoundError(f"{folder}: neither a run nor an evaluation; give files of shapes, or the folder of a run")


def names_of(paths: tuple[Path, ...]) -> list[str]:
    """File names, with as many parents as tell them apart."""
    names: list[str] = []
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{name} ({number})" for number, name in enumerate(names, 1)]
