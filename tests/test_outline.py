"""Outlines brought to a mask: what agrees better is kept, what does not is left alone."""

import pytest
import torch

from maquette.camera import look_at
from maquette.fitting.outline import fit_outline, mask_iou
from maquette.rendering.coverage import silhouette
from maquette.shapes import ico_sphere
from maquette.shapes.inside import is_inside

CAMERA = look_at(torch.tensor([0.0, 0.0, 2.0]), torch.zeros(3), focal=100.0, size=(96, 96))
BALL = ico_sphere(3, radius=0.4)


def stretched(factor: float):
    return BALL.with_vertices(BALL.vertices * torch.tensor([factor, 1.0, 1.0]))


def test_a_ball_takes_the_outline_of_an_ellipse():
    mask = silhouette(stretched(1.25), CAMERA)
    found = fit_outline(BALL, CAMERA, mask, steps=40)
    # Both ends lack a tenth of the ellipse's width.
    assert found.before == pytest.approx(0.8, abs=0.02)
    # Wide steps round the ends off.
    assert found.after > 0.93 and found.after == mask_iou(found.mesh, found.camera, mask)
    # It is wider than 0.8, and about as high and as deep as it was.
    width, height, depth = (found.mesh.vertices.amax(0) - found.mesh.vertices.amin(0)).tolist()
    assert 0.85 < width < 1.02 and abs(height - 0.8) < 0.06 and abs(depth - 0.8) < 0.06
    assert torch.equal(found.mesh.faces, BALL.faces)
    assert bool(is_inside(found.mesh, torch.zeros(1, 3)))


def test_a_camera_that_looks_past_the_mask_is_turned_to_it():
    mask = silhouette(
        BALL, look_at(torch.tensor([0.06, 0.04, 2.0]), torch.tensor([0.06, 0.04, 0.0]), focal=100.0, size=(96, 96))
    )
    found = fit_outline(BALL, CAMERA, mask, steps=25)
    assert found.after > found.before + 0.05
    assert not torch.equal(found.camera.world_from_cam, CAMERA.world_from_cam)
    # What the pose explains need not bend the shape: its radius stays.
    radius = (found.mesh.vertices - found.mesh.vertices.mean(0)).norm(dim=-1)
    torch.testing.assert_close(radius, torch.full_like(radius, 0.4), atol=0.04, rtol=0)


def test_what_agrees_already_is_left_as_it_was():
    found = fit_outline(BALL, CAMERA, silhouette(BALL, CAMERA), steps=3)
    assert found.before == found.after == 1
    assert found.mesh is BALL and found.camera is CAMERA


def test_the_same_fit_gives_the_same():
    mask = silhouette(stretched(1.1), CAMERA)
    first, again = (fit_outline(BALL, CAMERA, mask, steps=3) for _ in range(2))
    assert torch.equal(first.mesh.vertices, again.mesh.vertices) and first.after == again.after


def test_a_mask_of_another_size_and_no_steps_are_refused():
    with pytest.raises(ValueError, match=r"the mask is \(8, 8\), the camera's picture \(96, 96\)"):
        fit_outline(BALL, CAMERA, torch.zeros(8, 8, dtype=torch.bool), steps=1)
    with pytest.raises(ValueError, match="steps is 0"):
        fit_outline(BALL, CAMERA, silhouette(BALL, CAMERA), steps=0)
