"""What every test gets: types checked at each call, one thread, no network, a device, a seeded generator."""

import os
import re
from pathlib import Path

import pytest

# Before torch and numba are imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"

import jaxtyping
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # kernels run in Python, on tensors of the CPU

SOURCE = Path(__file__).parents[1] / "src" / "maquette"


def kernel_modules() -> set[str]:
    """Modules of numba's or Triton's kernels: the hook's wrappers are not Python that either can compile."""
    kernels = re.compile(r"^(from|import) (numba|triton)", re.MULTILINE)
    files = [file for file in SOURCE.rglob("*.py") if kernels.search(file.read_text())]
    return {".".join(("maquette", *file.relative_to(SOURCE).with_suffix("").parts)) for file in files}


def check_types() -> None:
    """From now on, every function and dataclass of the package checks the shapes and types in its signature."""
    hook = jaxtyping.install_import_hook("maquette", "beartype.beartype").hook
    inside, kernels = hook.should_instrument, kernel_modules()
    hook.should_instrument = lambda name: inside(name) and name not in kernels


check_types()
torch.set_num_threads(1)


@pytest.fixture(params=["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"])
def device(request) -> torch.device:
    """Each test that asks for it runs on the CPU, and on a GPU where there is one."""
    return torch.device(request.param)


@pytest.fixture
def generator() -> torch.Generator:
    """Seeded; on the CPU, as `sample` wants it for any device."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def maquette_data() -> Path:
    """The folder with real meshes and photos that the environment variable MAQUETTE_DATA names."""
    folder = os.environ.get("MAQUETTE_DATA")
    if not folder:
        pytest.skip("needs real data: set MAQUETTE_DATA to its folder")
    if not Path(folder).is_dir():
        pytest.fail(f"MAQUETTE_DATA is {folder}, which is not a folder")
    return Path(folder)


@pytest.fixture(scope="session")
def ten_objects(tmp_path_factory) -> Path:
    """A data set of ten small synthetic objects with two views each: to read, and to pack."""
    from maquette.data.prepare.synthetic import PrepareSynthetic, prepare_synthetic

    folder = tmp_path_factory.mktemp("data") / "set"
    prepare_synthetic(
        PrepareSynthetic(out=folder, count=10, views=2, size=33, points=300, val=0.2, test=0.1, workers=1)
    )
    return folder
