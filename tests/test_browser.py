"""Pages in a browser: headless Chromium, which `apt-get install chromium` brings on Debian and Ubuntu."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from maquette.evaluate import EvaluateConfig, evaluate_run
from maquette.models import build, save_model
from maquette.report import ReportConfig, write_report
from test_evaluate import FLAT, MULTI, TALL, write_boxes

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = [
    "--no-sandbox",
    "--use-angle=swiftshader",  # WebGL without a GPU
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESKTOP, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
EVIL = '<script>alert("id")'
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
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    program = next((path for path in map(shutil.which, PROGRAMS) if path is not None), None)
    if program is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser):
    """Opens a page file. At the end of the test: it has asked for nothing but itself, and complained of nothing."""
    contexts, requests, complaints = [], [], []

    def open_page(path: Path, size: dict, **options):
        contexts.append(browser.new_context(viewport=size, offline=True, **options))
        page = contexts[-1].new_page()
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
    assert len({url for url in requests if url.startswith("file")}) <= 1


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """Of a trio that has learnt nothing, with three objects, one of them with a name that is a script."""
    folder = tmp_path_factory.mktemp("browser")
    boxes = [("tall-0", "</script><b>", "train", TALL), ("flat-0", "flat", "train", FLAT)]
    boxes += [(EVIL, "</script><b>", "test", TALL), *((f"flat-{k}", "flat", "test", FLAT) for k in (1, 2))]
    data = write_boxes(folder / "boxes", boxes)
    torch.manual_seed(0)
    save_model(build(MULTI), folder / "trio", {"train": {"data": str(data)}, "step": 7})
    evaluate_run(EvaluateConfig(folder / "trio", pictures=0))
    return write_report(ReportConfig((folder / "trio",), heats=("grad-cam",)))


def show(opened, report: Path, size: dict, **options):
    page = opened(report, size, **options)
    page.wait_for_selector("#panels[data-object]")
    return page


def pixels(page, number: int) -> np.ndarray:
    """H x W x 3, of the panel of this number: 0 is the input, 1 the truth, then the predictions."""
    from io import BytesIO

    from PIL import Image

    page.wait_for_timeout(50)  # the next frame is drawn
    data = page.locator(".panel .view").nth(number).screenshot()
    return np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(int)


def drawn(picture: np.ndarray) -> float:
    """The share of a panel that is not its background, a gradient from light to light."""
    return float((np.abs(picture - picture[:, :1]).max(-1) > 24).mean())


def test_choosing_an_object_shows_input_truth_and_every_prediction(opened, report):
    page = show(opened, report, DESKTOP)
    assert page.locator(".panel").count() == 5
    captions = page.locator(".panel figcaption").all_inner_texts()
    assert [caption.split()[-1] for caption in captions[1:]] == ["truth", "voxels", "points", "mesh"]
    # A network that has learnt nothing still answers with a cloud and with a sphere.
    assert all(drawn(pixels(page, number)) > 0.03 for number in (0, 1, 3, 4))
    assert page.evaluate("window.contexts") == 1
    page.locator(".item", has_text="flat-2").click()
    page.wait_for_function("document.getElementById('name').textContent === 'flat-2'")
    assert page.locator(".item.chosen").count() == 1


def test_one_drag_turns_all_panels(opened, report):
    page = show(opened, report, DESKTOP)
    before = [pixels(page, number) for number in range(5)]
    azimuth = float(page.get_attribute("#panels", "data-azimuth"))
    box = page.locator(".panel .view").nth(1).bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 60)
    page.mouse.up()
    # 100 pixels to the right turn the camera by a radian to the left.
    assert float(page.get_attribute("#panels", "data-azimuth")) == pytest.approx(azimuth - 1, abs=0.01)
    changed = [bool((pixels(page, number) != before[number]).any()) for number in range(5)]
    assert changed == [False, True, drawn(before[2]) > 0, True, True]


def test_errors_are_drawn_in_the_colours_of_the_scale(opened, report):
    page = show(opened, report, DESKTOP)
    assert page.locator("#scale").is_hidden()
    grey = pixels(page, 1)
    page.click("#error")
    assert page.locator("#scale").is_visible()
    hot = pixels(page, 1)
    # Nothing that an unlearnt network answers is near the truth: its points are red, which stone is not.
    assert (hot[..., 0] - hot[..., 2]).max() > 100 > (grey[..., 0] - grey[..., 2]).max()
    assert "missed by" in page.locator(".panel").nth(1).inner_text()
    page.click("#own")
    assert (pixels(page, 1) == grey).all()


def test_the_catalogue_is_sorted_by_score_and_filtered_by_class(opened, report):
    page = show(opened, report, DESKTOP)
    for order, sign in (("worst", 1), ("best", -1)):
        page.select_option("#order", order)
        scores = [float(text) for text in page.locator(".item b").all_inner_texts()]
        assert scores == sorted(scores, key=lambda score, sign=sign: sign * score)
    page.select_option("#class", "flat")
    assert page.locator(".item:visible").count() == 2
    assert page.inner_text("#count") == "2 of 3 objects"


def test_a_name_that_is_a_script_is_shown_and_not_run(opened, report):
    page = show(opened, report, DESKTOP)
    page.locator(".item", has_text="alert").click()
    page.wait_for_function("document.getElementById('name').textContent.includes('alert')")
    assert page.inner_text("#name") == EVIL
    assert page.inner_text("#category") == "</script><b>"


def test_a_heat_map_lies_over_the_input_when_it_is_asked_for(opened, report):
    page = show(opened, report, DESKTOP)
    choice = page.locator(".panel select").first
    before = page.locator(".panel img").first.get_attribute("src")
    if choice.locator("option").count() > 1:
        choice.select_option(label=choice.locator("option").nth(1).inner_text())
        assert page.locator(".panel img").first.get_attribute("src") != before


def test_a_phone_shows_everything_without_scrolling_sideways(opened, report):
    page = show(opened, report, PHONE, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator("#panels").scroll_into_view_if_needed()
    boxes = [page.locator(".panel .view").nth(number).bounding_box() for number in range(5)]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    assert min(box["width"] for box in boxes) > 140  # two in a row
    page.click("#error")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert drawn(pixels(page, 1)) > 0.03
