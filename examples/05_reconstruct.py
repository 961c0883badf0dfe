"""A picture in, a solid out, with the network that comes with Maquette; and how far the solid is from the truth."""

import sys
from pathlib import Path

import maquette as mq
from maquette.data.synthetic import make_object
from maquette.io import write_picture
from maquette.metrics import f_score, match
from maquette.reconstruct import reconstruct
from maquette.rendering import antialiased

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")

# A picture of a chair that the network has never seen. Your own photograph does as well.
chair = make_object(3, "test", "chair").mesh
camera = mq.orbit(0.6, 0.4, 1.8, focal=600.0, size=(512, 512))
write_picture(antialiased(mq.render(chair, camera, background=(0.0, 0.0, 0.0)), 2), out / "chair.png")

result = reconstruct(out / "chair.png")
mq.save(result.mesh, out / "chair.glb")

# Both are in the frame of learning, so their points can be compared as they are.
solid, truth = (mq.sample(shape, 10_000).points for shape in (result.mesh, chair))
print(
    f"seen from {result.viewpoint[0]:.2f} (it was 0.60); F-score@0.05 {f_score(match(solid, truth), [0.05]).f[0]:.0f} %"
)
