"""What holds for all kernels of numba: their copies on disk are never out of date, and loading them leaves no trace."""

import ast
import gc
from pathlib import Path
from typing import ClassVar

import pytest

import maquette
from maquette.ops import (
    ball_numba,
    nearest_face_numba,
    nearest_numba,
    raster_numba,
    rays_numba,
    tree_numba,
)
from maquette.ops.compiled import collection_paused, compiled
from maquette.ops.nearest_face import SHRINK
from maquette.ops.raster import DEGENERATE
from maquette.ops.rays import SLACK
from maquette.ops.threads import parallel

SOURCE = Path(maquette.__file__).parent
FILES = sorted(file for file in SOURCE.rglob("*.py") if "from numba import" in file.read_text(encoding="utf-8"))


def kernels(tree: ast.Module) -> list[ast.FunctionDef]:
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [function for function in functions if any("njit" in ast.unparse(d) for d in function.decorator_list)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_all_that_a_kernel_compiles_stands_in_its_own_file(file):
    # Numba compiles anew when a kernel's own file has changed: an edit elsewhere would leave the old one in use.
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module != "numba"]
    elsewhere = {alias.asname or alias.name for node in imports for alias in node.names}
    assert kernels(tree)
    for function in kernels(tree):
        used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
        assert not used & elsewhere, function.name


def test_constants_that_stand_in_several_files_are_the_same():
    assert ball_numba.LEAF == nearest_numba.LEAF
    assert nearest_face_numba.DEPTH == rays_numba.DEPTH == tree_numba.DEPTH
    assert nearest_face_numba.SHRINK == SHRINK
    assert rays_numba.SLACK == SLACK
    assert raster_numba.DEGENERATE == DEGENERATE


def test_loading_a_kernel_leaves_the_garbage_collector_as_it_was():
    class Loading:
        """Stands for a kernel of numba that is not loaded."""

        signatures: ClassVar = []

        def __call__(self, lo, hi):
            calls.append((lo, hi, gc.isenabled()))

    calls = []
    assert gc.isenabled()
    parallel(Loading(), 5)
    assert gc.isenabled()
    assert calls == [(0, 0, False), (0, 5, True)]
    with collection_paused(), collection_paused():
        pass
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), collection_paused():
        _ = 1 / 0
    assert gc.isenabled()
    gc.disable()
    try:
        with collection_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_there_is_a_compiler_here():
    assert compiled()
