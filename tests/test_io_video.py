"""Moving pictures: as many frames, as long, and with the colours that were put in."""

import resource

import av
import numpy as np
import pytest
import torch
from PIL import Image

from maquette.io import save_video
from maquette.io.video import frame_times

COUNT, HEIGHT, WIDTH = 9, 33, 45  # odd sizes, which H.264 does not have


def frames() -> torch.Tensor:
    """An orange square that wanders over white."""
    video = torch.ones(COUNT, HEIGHT, WIDTH, 3)
    for t in range(COUNT):
        video[t, 8:24, 2 + 3 * t : 18 + 3 * t] = torch.tensor([0.9, 0.5, 0.1])
    return video


def read_with_pillow(path) -> tuple[np.ndarray, list[int], int | None]:
    """Frames, milliseconds of each, and the loop count (0: forever)."""
    with Image.open(path) as animation:
        pictures, times = [], []
        for index in range(animation.n_frames):
            animation.seek(index)
            pictures.append(np.asarray(animation.convert("RGB")) / 255)
            times.append(animation.info.get("duration", 0))
        return np.stack(pictures), times, animation.info.get("loop")


def test_a_gif_has_the_frames_and_the_exact_background(tmp_path):
    save_video(frames(), tmp_path / "a.gif", fps=15)
    pictures, times, loop = read_with_pillow(tmp_path / "a.gif")
    assert pictures.shape == (COUNT, HEIGHT, WIDTH, 3)
    assert (pictures[:, 0, 0] == 1).all()
    np.testing.assert_allclose(pictures, frames().numpy(), atol=2 / 255)
    assert loop == 0
    assert sum(times) == 600  # 9 frames at 15 a second, in steps of 10 ms


def test_backgrounds_of_a_gif_are_exact_also_beside_colours_that_are_nearly_theirs(tmp_path):
    # White paper with a grey panel of nine tenths; beside them all that is nearly white, each too rare to count.
    put_in = np.full((1, 40, 50, 3), 255, np.uint8)
    put_in[:, 4:] = [230, 240, 250]
    put_in[:, 10:14] = 255 - np.indices((6, 6, 6)).reshape(3, 216).T[16:].reshape(4, 50, 3)
    save_video(torch.from_numpy(put_in / 255), tmp_path / "a.gif")
    found = (read_with_pillow(tmp_path / "a.gif")[0] * 255).round()
    assert (found[:, :10] == put_in[:, :10]).all() and (found[:, 14:] == put_in[:, 14:]).all()
    np.testing.assert_allclose(found, put_in, atol=4)


def test_a_webp_has_the_frames_and_loops_forever(tmp_path):
    save_video(frames(), tmp_path / "a.webp", fps=15)
    pictures, _, loop = read_with_pillow(tmp_path / "a.webp")
    assert pictures.shape == (COUNT, HEIGHT, WIDTH, 3)
    assert np.abs(pictures - frames().numpy()).mean() < 0.01
    assert loop == 0


def test_an_mp4_has_the_frames_the_rate_and_the_colours(tmp_path):
    save_video(frames(), tmp_path / "a.mp4", fps=15)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == 15
        assert (stream.codec_context.pix_fmt, stream.width, stream.height) == ("yuv420p", WIDTH + 1, HEIGHT + 1)
        pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]) / 255
    assert len(pictures) == COUNT
    # Lossy, and colour at half the size: the middle of the square and of the background are what must be right.
    # The wrong matrix (BT.601 for BT.709) would be off by 0.038 here.
    for t in range(COUNT):
        np.testing.assert_allclose(pictures[t, 16, 10 + 3 * t], [0.9, 0.5, 0.1], atol=0.03)
        np.testing.assert_allclose(pictures[t, 2, 2], [1, 1, 1], atol=0.03)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_a_single_frame_and_values_outside_0_to_1_are_written(tmp_path, suffix):
    save_video(torch.linspace(-1, 2, 16 * 16 * 3).reshape(1, 16, 16, 3).requires_grad_(), tmp_path / f"new/a{suffix}")
    assert [p.name for p in (tmp_path / "new").iterdir()] == [f"a{suffix}"]


def test_frame_times_add_up_to_the_true_length():
    for fps in (7, 12.5, 15, 24, 30, 50):
        times = frame_times(100, fps, 10)
        assert all(t % 10 == 0 and t >= 20 for t in times)
        assert abs(sum(times) - 100_000 / fps) <= 5


def test_what_cannot_be_a_video_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"save_video: no writer for '.avi'"):
        save_video(frames(), tmp_path / "a.avi")
    with pytest.raises(ValueError, match="fps is 0"):
        save_video(frames(), tmp_path / "a.gif", fps=0)
    with pytest.raises(ValueError, match="viewers show a GIF at 50 at most"):
        save_video(frames(), tmp_path / "a.gif", fps=60)
    with pytest.raises(ValueError, match="hold no pictures"):
        save_video(frames()[:0], tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_a_full_disk_leaves_no_half_video(tmp_path, suffix):
    noise = torch.rand(4, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match=f"a{suffix}: cannot be written"):
            save_video(noise, tmp_path / f"a{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())
