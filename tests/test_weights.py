"""The bundled network: that it is there, small and loadable, and that its recipe gives such a folder."""

from pathlib import Path

import pytest
import torch

from maquette.models import MultiHeadConfig, SmallEncoder, load_run
from maquette.models.mesh import MeshHead
from maquette.models.occupancy import TriplaneOccupancy
from maquette.models.outside import load_features
from maquette.models.points import PointsHead
from maquette.models.runs import BUNDLED
from maquette.models.voxels import VoxelsHead
from maquette.train import TrainConfig, train
from maquette.weights.recipe import Recipe, bundle, make_weights


def test_the_bundled_network_is_there_and_small():
    run = load_run()
    assert run.model.representations == ("voxels", "points", "mesh", "occupancy")
    assert load_features(run.folder) is not None
    # What `pip install` carries for everybody: at most 25 MB.
    assert sum(path.stat().st_size for path in BUNDLED.iterdir()) <= 25e6


def test_the_recipe_bundles_a_run(ten_objects, tmp_path):
    run, out = tmp_path / "run", tmp_path / "weights"
    config = MultiHeadConfig(
        SmallEncoder(width=8, features=16, picture_size=32),
        VoxelsHead(hidden=8, channels=8),
        PointsHead(points=50, hidden=8),
        MeshHead(level=1, hidden=8, samples=40),
        occupancy=TriplaneOccupancy(channels=4, doublings=1, hidden=8),
    )
    train(TrainConfig(out=run, data=ten_objects, model=config, steps=2, batch=2, workers=1))
    bundle(run, ten_objects, out, known_pictures=10)
    assert {path.name for path in out.iterdir()} == {"config.json", "model.safetensors", "features.safetensors"}
    told = (out / "config.json").read_text()
    assert str(tmp_path) not in told and str(ten_objects) not in told
    known = load_features(out)
    assert known is not None and len(known.features) == 10
    images = torch.rand(2, 4, 32, 32)
    # 16-bit floats keep eleven bits: a relative error of 2^-11 a weight.
    exact, stored = (load_run(Path(folder)).model.encode(images).code for folder in (run, out))
    torch.testing.assert_close(stored, exact, rtol=0.02, atol=0.02 * float(exact.detach().abs().max()))


@pytest.mark.slow
def test_the_recipe_goes_from_nothing_to_weights(tmp_path):
    recipe = Recipe(
        tmp_path / "work", tmp_path / "out", objects=(60, 60, 9), views=2, steps=(2, 2, 2, 2), batch=4, known_pictures=9
    )
    make_weights(recipe)
    made, bundled = load_run(recipe.out), load_run()
    assert made.model.representations == bundled.model.representations
    # As large as what is bundled: the architecture is the same.
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (recipe.out, BUNDLED)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-3)


@pytest.mark.parametrize("name", ["voxels", "points", "mesh", "occupancy"])
def test_the_bundled_network_answers_a_blank_picture(name):
    model = load_run().model
    with torch.no_grad():
        assert len(model.shapes(model.encode(torch.zeros(1, 4, 64, 64)), name)) == 1
