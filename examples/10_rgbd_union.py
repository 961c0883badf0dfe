"""RGB-D: a scene seen by a depth camera from six sides, saved as views, and put together again as one cloud."""

import sys
from pathlib import Path

import torch

import maquette as mq
from maquette.data.rgbd import RGBD, distances_between_neighbours, unproject, without_flying_pixels
from maquette.data.rgbd_files import load_rgbd, save_rgbd
from maquette.data.synthetic import make_object
from maquette.io import write_picture
from maquette.rendering import Ambient
from maquette.shapes import thin, union

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
pictured = Path(sys.argv[2]) if len(sys.argv) > 2 else out
chair = make_object(2, "test", "chair").mesh
cameras = mq.orbit(torch.arange(6) * torch.pi / 3 + 0.6, 0.5, 1.6, focal=330.0, size=(240, 240))
seen = mq.render(chair, cameras, lights=(Ambient(1.0),))
save_rgbd(RGBD(seen.rgb, seen.depth, seen.alpha > 0, cameras), out / "chair_views.npz")

views = load_rgbd(out / "chair_views.npz")
clouds = [unproject(without_flying_pixels(views[k])) for k in range(6)]
whole = thin(union(clouds), 0.004)
mq.save(whole, out / "chair_cloud.ply")
pictures = [mq.render(cloud, mq.orbit(0.2, 0.5, 1.6, focal=330.0, size=(240, 240)), radius=0.005).rgb
            for cloud in (clouds[0], clouds[1], whole)]  # fmt: skip
write_picture(torch.cat(pictures, 1), pictured / "union.png")
print(f"{len(whole.points)} points; medians {[f'{a:.4f}' for a, _ in distances_between_neighbours(clouds)]}")
