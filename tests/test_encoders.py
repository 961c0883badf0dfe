"""Encoders: published weights by name, maps that fit, and norms that do not depend on the batch."""

import pytest
import torch
from safetensors.torch import save_file

from maquette.models import (
    DinoEncoder,
    EncoderConfig,
    PointsConfig,
    PrecomputedCodes,
    ResnetEncoder,
    SmallEncoder,
    build,
    load_run,
    save_model,
)
from maquette.models.encoders import build_encoder, feature_length, map_channels
from maquette.models.encoders.published import weights_file
from maquette.models.encoders.resnet import Resnet, load_published
from maquette.models.points import PointsHead

TINY_DINO = DinoEncoder(None, width=24, layers=2, heads=2, grid=4, picture_size=56)
HEAD = PointsHead(points=8, hidden=8)


def built(config: EncoderConfig) -> torch.nn.Module:
    if isinstance(config, DinoEncoder):
        pytest.importorskip("transformers", reason="the extra 'transformers' is not installed")
    return build_encoder(config)


ENCODERS = {
    "small": SmallEncoder(width=8, features=16, picture_size=32),
    "small, group norm": SmallEncoder(width=8, features=16, picture_size=32, norm="group"),
    "resnet18": ResnetEncoder(picture_size=48),
    "resnet50": ResnetEncoder(50, picture_size=33),
    "dino 2": TINY_DINO,
    "dino 3": DinoEncoder(None, 3, width=24, layers=2, heads=2, patch=16, code="cls", picture_size=64),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_features_have_the_length_and_the_maps_that_the_config_promises(name):
    config = ENCODERS[name]
    encoder = built(config).eval()
    size = config.picture_size
    with torch.no_grad():
        features = encoder(torch.rand(2, 4, size, size))
    assert features.code.shape == (2, feature_length(config))
    assert tuple(features_map.shape[1] for features_map in features.maps) == map_channels(config)
    sides = [features_map.shape[-1] for features_map in features.maps]
    assert all(features_map.shape[-2] == side for features_map, side in zip(features.maps, sides, strict=True))
    assert sides == sorted(set(sides), reverse=True)


# torchvision's published counts with the classifier, less its 1,000 outputs of 512 or 2,048 inputs.
@pytest.mark.parametrize(
    ("depth", "count"), [(18, 11_689_512 - 513_000), (34, 21_797_672 - 513_000), (50, 25_557_032 - 2_049_000)]
)
def test_resnets_have_the_published_parameter_counts(depth, count):
    with torch.device("meta"):
        network = Resnet(ResnetEncoder(depth))
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_published_resnet18_weights_are_read_by_name(tmp_path, suffix):
    source = Resnet(ResnetEncoder()).eval()
    tensors = {name: tensor for name, tensor in source.state_dict().items() if "num_batches" not in name}
    tensors |= {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    path = tmp_path / f"resnet18{suffix}"
    if suffix == ".pth":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    image = torch.rand(1, 4, 64, 64)
    for norm in ("batch", "frozen"):
        # Frozen statistics are those of the file, in training, too.
        network = Resnet(ResnetEncoder(weights=str(path), norm=norm)).train(norm == "frozen")
        torch.testing.assert_close(network(image).code, source(image).code)
    with pytest.raises(ValueError, match=r"not weights of ResNet-34 with this norm: .* are missing"):
        Resnet(ResnetEncoder(34, weights=str(path)))
    with pytest.raises(ValueError, match="40 have no place"):
        # Group norm has no use for the two running statistics of 20 batch norms.
        Resnet(ResnetEncoder(weights=str(path), norm="group"))


def test_weights_that_are_not_resnet18_are_refused(tmp_path):
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="not weights of ResNet-18"):
        load_published(Resnet(ResnetEncoder()), tmp_path / "other.safetensors", "ResNet-18")


@pytest.mark.parametrize("name", ["broken.pth", "broken.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04 an archive cut short"])
def test_a_file_that_is_no_weights_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with torch.device("meta"):
        network = Resnet(ResnetEncoder())
    with pytest.raises(OSError, match=rf"{name}: cannot be read as weights"):
        load_published(network, tmp_path / name, "ResNet-18")


def test_weights_that_are_not_there_are_told_in_a_line():
    with pytest.raises(FileNotFoundError, match=r"nowhere.pth: no such file; give published weights"):
        build_encoder(ResnetEncoder(weights="nowhere.pth"))
    for name in ("hub:", "hub:timm/resnet18", "hub:timm/resnet18/"):
        with pytest.raises(ValueError, match="names no file on the hub; give hub:OWNER/NAME/FILE"):
            weights_file(name)


def test_weights_on_the_hub_need_a_network_or_its_cache():
    pytest.importorskip("huggingface_hub", reason="the extra 'transformers' is not installed")
    with pytest.raises(OSError, match=r"not on this machine, and the hub did not give it .*; connect"):
        weights_file("hub:nobody/nothing/model.safetensors")
    pytest.importorskip("transformers", reason="the extra 'transformers' is not installed")
    with pytest.raises(OSError, match="nobody/nothing: not on this machine"):
        build_encoder(DinoEncoder("nobody/nothing"))


def test_a_run_does_not_need_the_file_that_its_encoder_began_from(tmp_path):
    published = tmp_path / "published.safetensors"
    save_file(Resnet(ResnetEncoder()).state_dict(), published)
    model = build(PointsConfig(ResnetEncoder(weights=str(published)), HEAD))
    save_model(model, tmp_path / "run", {})
    published.unlink()
    run = load_run(tmp_path / "run")
    assert run.model.picture_size == model.picture_size
    tensors = model.state_dict()
    assert all(torch.equal(value, tensors[name]) for name, value in run.model.state_dict().items())


@pytest.mark.parametrize("encoder", ["small", "resnet"])
@pytest.mark.parametrize("norm", ["group", "frozen"])
def test_norms_without_the_batch_see_each_picture_alone_in_training(encoder, norm):
    kind = SmallEncoder(width=8, features=16, picture_size=32, norm=norm)
    network = build_encoder(kind if encoder == "small" else ResnetEncoder(norm=norm, picture_size=32)).train()
    images = torch.rand(3, 4, 32, 32)
    before = {name: value.clone() for name, value in network.named_buffers()}
    together, alone = network(images).code[1:2], network(images[1:2]).code
    # Float32 sums in another order.
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())


def test_the_batch_norm_of_training_sees_the_batch():
    network = build_encoder(SmallEncoder(width=8, features=16, picture_size=32)).train()
    images = torch.rand(3, 4, 32, 32)
    assert not torch.allclose(network(images).code[1:2], network(images[1:2]).code, atol=1e-3)


def test_codes_from_a_file_take_the_place_of_pictures(tmp_path):
    model = build(PointsConfig(PrecomputedCodes(20), HEAD)).eval()
    codes = torch.rand(3, 20)
    looks = model.look(codes)
    features = looks[0].features
    assert torch.equal(features.code, codes) and features.maps == () and len(looks) == 1
    assert len(model.shapes_of_looks(looks, "points")) == 3
    with pytest.raises(ValueError, match=r"takes codes of 20 numbers in the place of pictures, not \(3, 4, 64, 64\)"):
        model.encode(torch.rand(3, 4, 64, 64))
    save_model(model, tmp_path, {})
    assert load_run(tmp_path).model.config == model.config


def test_frozen_dino_gets_no_gradient_and_no_dropout_and_free_dino_learns():
    for frozen in (True, False):
        config = DinoEncoder(None, width=24, layers=1, heads=2, grid=4, picture_size=28, frozen=frozen)
        network = built(config).train()
        assert network.vit.training is not frozen
        code = network(torch.rand(2, 4, 28, 28)).code
        assert code.requires_grad is not frozen
        assert any(p.requires_grad for p in network.parameters()) is not frozen


def test_the_patches_of_dino_lie_where_they_are_in_the_picture():
    network = built(TINY_DINO).eval()
    images = torch.ones(1, 4, 56, 56)
    changed = images.clone()
    changed[:, :3, :14, 42:] = 0  # the patch in the upper right corner
    with torch.no_grad():
        # Random weights attend to everything alike, so what is seen of a patch elsewhere is the same everywhere.
        difference = (network(changed).maps[0] - network(images).maps[0]).abs().sum(1)[0]
    assert divmod(int(difference.argmax()), 4) == (0, 3)


def test_dino_comes_from_a_folder_whose_sizes_agree(tmp_path):
    source = built(TINY_DINO)
    source.vit.save_pretrained(tmp_path)
    sizes = {"width": 24, "layers": 2, "heads": 2, "grid": 4, "picture_size": 56}
    network = build_encoder(DinoEncoder(str(tmp_path), **sizes))
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in network.state_dict().items())
    with pytest.raises(ValueError, match=r"has num_hidden_layers 2; the encoder's settings say num_hidden_layers 3"):
        build_encoder(DinoEncoder(str(tmp_path), **(sizes | {"layers": 3})))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"picture_size": 200}, "multiple of 14"),
        ({"heads": 5}, "multiple of the 5 heads"),
        ({"width": 0}, "width is 0"),
    ],
)
def test_sizes_that_dino_cannot_have_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        DinoEncoder(**settings)
