"""Picture files: every kind gives the colours that were put in; what is no picture is told in one line."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from maquette.io import read_picture, write_picture
from maquette.io.pictures import LARGEST, decode_texture


def gradient(height: int = 6, width: int = 9) -> np.ndarray:
    """H W 3 bytes, all pixels different."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(pixels: np.ndarray, color_type: int) -> bytes:
    """A PNG of 16 bits a channel: 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def close(picture: torch.Tensor, expected, atol: float = 1e-6) -> None:
    torch.testing.assert_close(picture, torch.as_tensor(np.asarray(expected, np.float32)), atol=atol, rtol=0)


def test_rgb_comes_with_alpha_one(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert (picture.shape, picture.dtype) == ((6, 9, 4), torch.float32)
    close(picture[..., :3], gradient() / 255)
    assert (picture[..., 3] == 1).all()


def test_rgba_keeps_colour_where_it_is_transparent(tmp_path):
    rgba = np.concatenate([gradient(), gradient()[..., :1]], -1)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    close(read_picture(tmp_path / "a.png"), rgba / 255)


@pytest.mark.parametrize(("color_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bits_a_channel_are_read_at_their_full_depth(tmp_path, color_type, channels):
    pixels = np.random.default_rng(1).integers(0, 65536, (5, 7, channels))
    (tmp_path / "a.png").write_bytes(png16(pixels if channels > 1 else pixels[..., 0], color_type))
    rgb = pixels[..., :3] if channels >= 3 else pixels[..., :1].repeat(3, -1)
    alpha = pixels[..., -1:] if channels in (2, 4) else np.full((5, 7, 1), 65535)
    close(read_picture(tmp_path / "a.png"), np.concatenate([rgb, alpha], -1) / 65535)


def test_grey_and_grey_with_alpha(tmp_path):
    grey = gradient()[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    close(read_picture(tmp_path / "a.png")[..., 2], grey / 255)
    Image.merge("LA", [Image.fromarray(grey), Image.fromarray(gradient()[..., 1])]).save(tmp_path / "b.png")
    close(read_picture(tmp_path / "b.png")[..., 3], gradient()[..., 1] / 255)


def test_one_bit_pictures_are_black_and_white(tmp_path):
    Image.fromarray(gradient()[..., 0] > 127).save(tmp_path / "a.png")
    close(read_picture(tmp_path / "a.png")[..., 0], gradient()[..., 0] > 127)


def test_a_palette_keeps_its_transparent_colour(tmp_path):
    picture = Image.new("P", (3, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.putdata([0, 1, 2])
    picture.save(tmp_path / "a.png", transparency=1)
    close(read_picture(tmp_path / "a.png")[0], [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 1]])


def test_cmyk_becomes_rgb(tmp_path):
    """No ink is white; full cyan takes all red away."""
    picture = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 0), (8, 0, 16, 16))
    picture.save(tmp_path / "a.jpg", quality=100)
    rgb = read_picture(tmp_path / "a.jpg")[..., :3]
    close(rgb[8, 2], [1, 1, 1], 0.02)
    close(rgb[8, 13], [0, 1, 1], 0.02)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    """The table of the EXIF standard: where the stored first row and column are in the upright picture."""
    upright = np.zeros((2, 3, 3), np.uint8)
    upright[0, 0], upright[0, 2], upright[1, 0] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    close(read_picture(tmp_path / "a.png")[..., :3], upright / 255)
    assert decode_texture((tmp_path / "a.png").read_bytes(), "a").shape[:2] == stored.shape[:2]  # as it lies


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_gives_its_first_frame(tmp_path, suffix):
    frames = [Image.new("RGB", (4, 4), color) for color in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    close(read_picture(tmp_path / f"a{suffix}")[0, 0], [1, 0, 0, 1])


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".ppm", ".webp", ".tga"])
def test_other_lossless_formats_are_read(tmp_path, suffix):
    Image.fromarray(gradient()).save(tmp_path / f"a{suffix}", lossless=True)
    close(read_picture(tmp_path / f"a{suffix}")[..., :3], gradient() / 255)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_written_pictures_come_back(tmp_path, suffix):
    rgb = torch.from_numpy(gradient()).float() / 255
    write_picture(rgb, tmp_path / "deep" / f"a{suffix}")
    close(read_picture(tmp_path / "deep" / f"a{suffix}")[..., :3], rgb)
    rgba = torch.cat([rgb, torch.full((6, 9, 1), 0.6)], -1)
    write_picture(rgba, tmp_path / f"b{suffix}")
    close(read_picture(tmp_path / f"b{suffix}"), rgba)
    write_picture(rgb[..., :1], tmp_path / f"c{suffix}")
    close(read_picture(tmp_path / f"c{suffix}")[..., 1], rgb[..., 0])


def test_a_jpeg_is_near_to_what_was_written_and_has_no_alpha(tmp_path):
    smooth = torch.linspace(0, 1, 32)[None, :, None].expand(32, 32, 3)
    write_picture(smooth, tmp_path / "a.jpg")
    close(read_picture(tmp_path / "a.jpg")[..., :3], smooth, 0.03)
    with pytest.raises(ValueError, match="JPEG holds no alpha"):
        write_picture(torch.ones(2, 2, 4), tmp_path / "b.jpg")
    assert [p.name for p in tmp_path.iterdir()] == ["a.jpg"]


def test_arguments_that_make_no_picture_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"write_picture: no writer for '.xyz'"):
        write_picture(torch.ones(2, 2, 3), tmp_path / "a.xyz")
    with pytest.raises(ValueError, match=r"write_picture: a picture is H W 1, H W 3 or H W 4, got \(2, 2, 5\)"):
        write_picture(torch.ones(2, 2, 5), tmp_path / "a.png")


# ---------------------------------------------------------------------------------------------------------------------
# What is no picture.


def refused(path, match: str) -> None:
    with pytest.raises(OSError, match=match) as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_picture_is_told_in_one_line(tmp_path):
    refused(tmp_path / "gone.png", "no such file")
    (tmp_path / "folder.png").mkdir()
    refused(tmp_path / "folder.png", "is a folder")
    (tmp_path / "empty.png").write_bytes(b"")
    refused(tmp_path / "empty.png", "empty file")
    (tmp_path / "text.png").write_text("not a picture\n" * 50)
    refused(tmp_path / "text.png", "not a picture that can be read")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".webp", ".bmp", ".tif"])
def test_truncated_pictures_are_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(gradient(64, 64)).save(path)
    data = path.read_bytes()
    for part in (0.05, 0.5, 0.8):
        path.write_bytes(data[: int(len(data) * part)])
        refused(path, "broken picture|not a picture")


def test_a_16_bit_png_that_is_cut_is_refused(tmp_path):
    data = png16(np.random.default_rng(0).integers(0, 65536, (64, 64, 3)), 2)
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    refused(tmp_path / "a.png", "broken picture")


@pytest.mark.parametrize("depth", [8, 16])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path, depth):
    """40,000 x 40,000 zeros are 1.6 MB of file and 6.4 GB of pixels."""
    head = struct.pack(">IIBBBBB", 40_000, 40_000, depth, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 10_000)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    refused(tmp_path / "a.png", "1600 million pixels; the limit is 100 million")


def test_a_picture_just_above_the_limit_is_refused_too(tmp_path):
    side = int(LARGEST**0.5) + 1
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    refused(tmp_path / "a.png", "100 million pixels; the limit")


def test_postscript_is_not_opened(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    refused(tmp_path / "a.png", "not a picture that can be read")


def test_randomly_broken_pictures_give_a_picture_or_one_line(tmp_path):
    rng = np.random.default_rng(0)
    for suffix in (".png", ".jpg", ".gif", ".webp", ".bmp", ".tif", ".tga"):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(gradient(16, 16)).save(path)
        good = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(40):
            data = good.copy()
            data[rng.integers(0, len(data), 6)] = rng.integers(0, 256, 6)
            path.write_bytes(data[: rng.integers(1, len(data) + 1)].tobytes() if rng.random() < 0.3 else data.tobytes())
            try:
                assert read_picture(path).shape[-1] == 4
            except OSError as error:
                assert str(error).startswith(f"{path}: ")
