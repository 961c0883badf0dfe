"""Frames into moving pictures: GIF, animated WebP, MP4. Letters: T frames."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from maquette.io.atomic import atomic_path

if TYPE_CHECKING:
    from PIL.Image import Image

GIF_FASTEST = 50
"""Frames a second; browsers slow anything faster down to ten."""


def save_video(frames: Float[Tensor, "T H W 3"], path: str | Path, *, fps: int | float = 15) -> None:
    """Write sRGB frames in 0..1 as .gif, .webp (both loop forever) or .mp4 (H.264), whole or not at all.

    A GIF has one palette of 256 colours for all frames, in which backgrounds (what fills a hundredth of the frames) are
    exact, and the steps of 10 ms that the format knows are spread so that the whole length is right. MP4 needs even
    sizes: the last row or column is repeated.
    """
    path = Path(path)
    writer = {".gif": _write_gif, ".webp": _write_webp, ".mp4": _write_mp4}.get(path.suffix.lower())
    if writer is None:
        raise ValueError(f"save_video: no writer for {path.suffix!r} ({path}); use .gif, .webp or .mp4")
    if 0 in frames.shape:
        raise ValueError(f"save_video: frames of shape {tuple(frames.shape)} hold no pictures")
    if not 0 < fps <= 1000:
        raise ValueError(f"save_video: fps is {fps}; give frames a second above 0 and up to 1000")
    if path.suffix.lower() == ".gif" and fps > GIF_FASTEST:
        raise ValueError(f"save_video: fps is {fps}, viewers show a GIF at {GIF_FASTEST} at most; use .webp or .mp4")
    pixels = (frames.detach().cpu().float().nan_to_num(0.0).clamp(0, 1) * 255).round().byte().numpy()
    with atomic_path(path) as temporary:
        writer(pixels, temporary, fps)


def frame_times(count: int, fps: int | float, step: int) -> list[int]:
    """Milliseconds that each frame stays, multiples of `step`, whose sums stay within half a step of the true times."""
    ends = [round((i + 1) * 1000 / fps / step) * step for i in range(count)]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def _write_gif(pixels: UInt8[np.ndarray, "T H W 3"], path: Path, fps: int | float) -> None:
    palette, exact = _palette(pixels)
    pictures = [_indexed(frame, palette, exact) for frame in pixels]
    times = frame_times(len(pictures), fps, 10)
    pictures[0].save(
        path, "GIF", save_all=True, append_images=pictures[1:], duration=times, loop=0, disposal=1, optimize=False
    )


def _palette(pixels: UInt8[np.ndarray, "T H W 3"]) -> tuple["Image", Int[np.ndarray, " K"]]:
    """A picture that carries 256 colours, and which of them are exact: its first K, as ascending numbers 0xRRGGBB.

    Exact are the most frequent colour and all that fill a hundredth of the frames; the others are by median cut.
    """
    from PIL import Image

    flat = pixels.reshape(-1, 3)
    flat = flat[:: max(1, len(flat) // 2_000_000)]
    keys = _numbers(flat)
    values, counts = np.unique(keys, return_counts=True)
    exact = values[counts >= min(0.01 * len(flat), counts.max())]
    colors = np.stack([exact >> 16, (exact >> 8) & 255, exact & 255], -1).reshape(-1).tolist()
    # Backgrounds must not pull the cut: what differs from them decides about the other colours.
    rest = flat[~np.isin(keys, exact)]
    if len(rest):
        count = 256 - len(exact)
        cut = Image.fromarray(np.ascontiguousarray(rest[None])).quantize(count, method=Image.Quantize.MEDIANCUT)
        colors += (cut.getpalette() or [])[: 3 * count]
    palette = Image.new("P", (1, 1))
    palette.putpalette((colors + colors[:3] * 256)[:768])
    return palette, exact


def _indexed(frame: UInt8[np.ndarray, "H W 3"], palette: "Image", exact: Int[np.ndarray, " K"]) -> "Image":
    """A frame in the palette's colours."""
    from PIL import Image

    near = Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
    # Pillow gives 4 x 4 x 4 neighbouring colours one place in the palette: white would become the grey beside it.
    numbers = _numbers(frame)
    place = np.searchsorted(exact, numbers).clip(max=len(exact) - 1)
    picture = Image.fromarray(np.where(exact[place] == numbers, place, np.asarray(near)).astype(np.uint8))
    picture.putpalette(palette.getpalette() or [])
    return picture


def _numbers(colors: UInt8[np.ndarray, "*N 3"]) -> Int[np.ndarray, "*N"]:
    """0xRRGGBB."""
    return colors.astype(np.int32) @ np.array([65536, 256, 1], np.int32)


def _write_webp(pixels: UInt8[np.ndarray, "T H W 3"], path: Path, fps: int | float) -> None:
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in pixels]
    times: Sequence[int] = frame_times(len(pictures), fps, 1)
    pictures[0].save(
        path, "WEBP", save_all=True, append_images=pictures[1:], duration=times, loop=0, quality=90, method=4
    )


def _write_mp4(pixels: UInt8[np.ndarray, "T H W 3"], path: Path, fps: int | float) -> None:
    import av

    height, width = pixels.shape[1:3]
    pixels = np.pad(pixels, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), "edge")
    h264 = "libx264" in av.codecs_available
    # Tagged as BT.709 and converted so: untagged files get other colours in every player.
    options = (
        {"crf": "18", "x264-params": "colorprim=bt709:transfer=bt709:colormatrix=bt709"} if h264 else {"qscale": "3"}
    )
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream("libx264" if h264 else "mpeg4", rate=rate, options=options)
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for picture in pixels:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709" if h264 else "ITU601")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
