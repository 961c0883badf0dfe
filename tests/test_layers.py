"""The house stands on its layers: imports point down only, and what is heavy or unsafe stays out."""

import ast
import functools
from pathlib import Path

import pytest

from maquette import cli

SOURCE = Path(__file__).parents[1] / "src" / "maquette"

LAYERS = (
    "version",
    "console",
    "ops",
    "transforms",
    "camera",
    "conventions",
    "shapes",
    "rendering",
    "losses",
    "registration",
    "metrics",
    "io",
    "masks",
    "checkpoints",
    "settings",
    "alignment",
    "texturing",
    "page",
    "data",
    "fitting",
    "models",
    "train",
    "presets",
    "evaluate",
    "diagnose",
    "latent",
    "sweep",
    "reconstruct",
    "explain",
    "report",
    "masking",
    "film",
    "inspection",
    "weights",
    "cli",
    "__main__",
)
"""From the ground up: a module imports from its own layer and from those before it."""

TABLE = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("| layer | content |")[2]

PROGRAMS = {"maquette.weights.__main__", *(command.module for command in cli.COMMANDS.values())}
HEAVY = {
    "ray",
    "accelerate",
    "igl",
    "skimage",
    "xatlas",
    "fast_simplification",
    "plotly",
    "matplotlib",
    "captum",
    "av",
    "tensorboard",
    "rich",
    "tyro",
    "numba",
    "triton",
}
"""Imported where they are used, so that `import maquette` stays quick."""
EXCEPTIONS = {
    "rich": lambda module: module == "maquette.console",
    "tyro": lambda module: module in PROGRAMS | {"maquette.models.choices"},
    "numba": lambda module: "@njit" in source_of(module),
    "triton": lambda module: "@triton.jit" in source_of(module),
}

FORBIDDEN = {"torchvision", "timm", "pickle", "dill", "joblib", "cloudpickle", "open3d", "cv2", "pytorch3d"}
"""Unsafe to load, or not installable everywhere."""


def module_of(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(("maquette", *(part for part in parts if part != "__init__")))


FILES = {module_of(file): file for file in sorted(SOURCE.rglob("*.py"))}


def source_of(module: str) -> str:
    return FILES[module].read_text()


@functools.cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(source_of(module))


def imports(tree: ast.AST) -> set[str]:
    """Full names of the modules that a piece of code imports; `from a import b` counts as a.b, too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def at_module_level(tree: ast.Module) -> ast.Module:
    """The statements that run when the module is imported: no functions, nothing that only the type checker sees."""

    def runs(node: ast.stmt) -> bool:
        if isinstance(node, ast.If):
            return ast.unparse(node.test) not in ("TYPE_CHECKING", "__name__ == '__main__'")
        return not isinstance(node, ast.FunctionDef | ast.ClassDef)

    return ast.Module([node for node in tree.body if runs(node)], [])


def layer_of(module: str) -> str | None:
    """`maquette.io.obj` lies in io; the package itself only names what lies above and has none."""
    return module.split(".")[1] if "." in module else None


def test_contributing_names_every_layer():
    rows = [line.split("|")[1] for line in TABLE.partition("\n\n")[0].splitlines()[2:]]
    assert {name.strip(" `") for row in rows for name in row.split(",")} == {*LAYERS} - {"__main__"}


@pytest.mark.parametrize("module", FILES)
def test_imports_point_down_only(module):
    layer = layer_of(module)
    if layer is None:
        assert imports(at_module_level(tree_of(module))) & set(FILES) <= {"maquette.version"}
        return
    assert layer in LAYERS, f"{layer} has no place in LAYERS"
    for name in imports(tree_of(module)):
        if name.startswith("maquette.") and name.split(".")[1] != "__version__":
            below = layer_of(name)
            assert below in LAYERS, f"{module} imports {name}, which has no place in LAYERS"
            assert LAYERS.index(below) <= LAYERS.index(layer), f"{module} imports {name} from above"


@pytest.mark.parametrize("module", FILES)
def test_heavy_libraries_are_imported_where_they_are_used(module):
    used = {name.split(".")[0] for name in imports(at_module_level(tree_of(module)))} & HEAVY
    assert {name for name in used if not EXCEPTIONS.get(name, lambda module: False)(module)} == set()


@pytest.mark.parametrize("module", FILES)
def test_nothing_is_pickled_and_no_forbidden_library_is_used(module):
    tree = tree_of(module)
    # The error alone may be named, to tell of a broken file that torch's safe reader met.
    names = imports(tree)
    if "pickle.UnpicklingError" in names:
        names -= {"pickle", "pickle.UnpicklingError"}
    assert {name.split(".")[0] for name in names} & FORBIDDEN == set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            said = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            match ast.unparse(node.func):
                case "np.load" | "numpy.load":
                    assert said.get("allow_pickle") == "False", f"line {node.lineno}: say allow_pickle=False"
                case "torch.load":
                    assert said.get("weights_only") == "True", f"line {node.lineno}: say weights_only=True"
                case "torch.save":
                    raise AssertionError(f"line {node.lineno}: torch.save pickles; write safetensors")


def test_no_file_is_a_drawer_for_everything():
    assert {file.name for file in SOURCE.rglob("*.py")} & {
        "utils.py",
        "helpers.py",
        "base.py",
        "common.py",
        "misc.py",
    } == set()
