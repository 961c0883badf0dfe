"""What every test gets: types checked at each call, one thread, no network, a device, a seeded generator."""

import gc
import os
import shutil
from pathlib import Path

import pytest

# Before torch and numba are imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"


def pytest_configure(config) -> None:
    """Everywhere but in the process that only hands tests out to workers, and needs none of it."""
    if config.getoption("tx", None) and config.option.dist != "no" and not config.option.collectonly:
        return
    import torch

    from checked import check_types

    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"  # kernels run in Python, on tensors of the CPU
    check_types()
    torch.set_num_threads(1)
    gc.disable()  # until the tests are collected: modules are no garbage


def pytest_collection_finish() -> None:
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def small_collections():
    """Collections look at what tests make, not at the million objects of modules, which takes a second each time.

    Cycles of garbage that are alive now are freed, and warn, at the end only.
    """
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # pytest collects five times more


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def few_levels():
    """Evaluations try three levels for a category's mean shape instead of fourteen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maquette.evaluate.baselines.LEVELS", (0.2, 0.35, 0.5))
        yield


def pytest_generate_tests(metafunc) -> None:
    """Tests that ask for a `device` run on the CPU, and on a GPU where there is one."""
    if "device" in metafunc.fixturenames:
        import torch

        names = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
        metafunc.parametrize("device", [torch.device(name) for name in names], ids=names)


@pytest.fixture
def generator():
    """Seeded; on the CPU, as `sample` wants it for any device."""
    import torch

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


# ------------------------------------------------------------------------------------------------------------- browsers

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--no-sandbox",
    "--use-angle=swiftshader",  # WebGL without a GPU
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
COUNT_CONTEXTS = """
window.contexts = 0;
const own = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  if (kind.startsWith("webgl")) window.contexts += 1;
  return own.call(this, kind, ...rest);
};
"""


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; without one the test skips and says how to install it."""
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    program = next((path for path in map(shutil.which, PROGRAMS) if path is not None), None)
    if program is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opened(browser):
    """Opens the page in a file; pages count their WebGL contexts in `contexts`.

    When the tests of the module have ended, no page has asked for anything but itself, or complained of anything.
    """
    contexts, requests, complaints = [], [], []

    def open_page(path: Path, width: int, height: int, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, offline=True, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(120_000)  # milliseconds: a busy machine is slow, which is no failure
        page.add_init_script(COUNT_CONTEXTS)
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    # Pictures are inline; a page loads itself.
    assert {url.split(":")[0] for url in requests} <= {"file", "data"}
    assert len([url for url in requests if url.startswith("file")]) == len(contexts)
