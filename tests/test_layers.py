"""The house stands on its layers: imports point down only, and what is heavy or unsafe stays out."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

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
    "view",
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
    "sklearn",
    "umap",
    "viser",
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


def statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """All that lie in a piece of code, at any depth; not what they calculate."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.stmt):
            yield node
        if isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            yield from statements(node)


def imports(tree: ast.AST) -> set[str]:
    """Full names of the modules that a piece of code imports; `from a import b` counts as a.b, too."""
    names = set()
    for node in statements(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@functools.cache
def imported(module: str) -> set[str]:
    return imports(tree_of(module))


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


def above(module: str) -> set[str]:
    """What a module imports from layers that lie above its own, or that have no place in LAYERS."""
    layer, names = layer_of(module), {name for name in imported(module) if name.startswith("maquette.")}
    if layer is None:
        return (imports(at_module_level(tree_of(module))) & set(FILES)) - {"maquette.version"}
    below = LAYERS[: LAYERS.index(layer) + 1] if layer in LAYERS else ()
    return {name for name in names if layer_of(name) not in (*below, "__version__")}


def test_imports_point_down_only():
    assert {module: wrong for module in FILES if (wrong := above(module))} == {}


def too_heavy(module: str) -> set[str]:
    used = {name.split(".")[0] for name in imports(at_module_level(tree_of(module)))} & HEAVY
    return {name for name in used if not EXCEPTIONS.get(name, lambda module: False)(module)}


def test_heavy_libraries_are_imported_where_they_are_used():
    assert {module: wrong for module in FILES if (wrong := too_heavy(module))} == {}


def unsafe(module: str) -> set[str]:
    """Forbidden libraries that a module imports, and calls of it that could unpickle."""
    names = imported(module)
    # The error alone may be named, to tell of a broken file that torch's safe reader met.
    if "pickle.UnpicklingError" in names:
        names = names - {"pickle", "pickle.UnpicklingError"}
    found = {name.split(".")[0] for name in names} & FORBIDDEN
    for node in ast.walk(tree_of(module)):
        # Only attributes called load or save are worth the time that unparsing takes.
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("load", "save"):
            said = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            match ast.unparse(node.func):
                case "np.load" | "numpy.load" if said.get("allow_pickle") != "False":
                    found.add(f"line {node.lineno}: say allow_pickle=False")
                case "torch.load" if said.get("weights_only") != "True":
                    found.add(f"line {node.lineno}: say weights_only=True")
                case "torch.save":
                    found.add(f"line {node.lineno}: torch.save pickles; write safetensors")
    return found


def test_nothing_is_pickled_and_no_forbidden_library_is_used():
    assert {module: wrong for module in FILES if (wrong := unsafe(module))} == {}


def test_no_file_is_a_drawer_for_everything():
    assert {file.name for file in SOURCE.rglob("*.py")} & {
        "utils.py",
        "helpers.py",
        "base.py",
        "common.py",
        "misc.py",
    } == set()
