"""The camera: OpenCV axes (x right, y down, z forward), everything else in pixels; a pinhole, or orthographic.

Pixel (row i, column j) covers [j, j+1] x [i, i+1]; its centre is (j + 0.5, i + 0.5).
Azimuth 0 looks at the front (the camera stands on +z) and grows towards +x; elevation grows upwards.
"""

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from maquette import transforms


@dataclass(frozen=True)
class Camera:
    """A perspective camera, or `*batch` of them that share a picture size."""

    world_from_cam: Float[Tensor, "*batch 4 4"]
    """Rigid pose; its last column is the camera's position."""
    focal: Float[Tensor, "*batch 2"]
    """(x, y) in pixels."""
    center: Float[Tensor, "*batch 2"]
    """Principal point (x, y) in pixels; the middle of an H x W picture is (W/2, H/2)."""
    size: tuple[int, int]
    """(H, W)."""

    @property
    def position(self) -> Float[Tensor, "*batch 3"]:
        return self.world_from_cam[..., :3, 3]

    @property
    def cam_from_world(self) -> Float[Tensor, "*batch 4 4"]:
        return transforms.inverse(self.world_from_cam)

    def __getitem__(self, index) -> "Camera":
        """One of a batch, or a slice of it."""
        if self.focal.ndim == 1:
            raise ValueError(f"Camera: [{index}] of a single camera; index a batch of them, or use it as it is")
        return Camera(self.world_from_cam[index], self.focal[index], self.center[index], self.size)

    def to(self, target: torch.device | torch.dtype | str) -> "Camera":
        """The same camera on another device, or in another floating-point type."""
        return Camera(self.world_from_cam.to(target), self.focal.to(target), self.center.to(target), self.size)

    def resized(self, size: tuple[int, int]) -> "Camera":
        """The same view in a picture of another size: pixels scale, the pose stays."""
        ratio = self.focal.new_tensor([size[1] / self.size[1], size[0] / self.size[0]])
        return Camera(self.world_from_cam, self.focal * ratio, self.center * ratio, size)

    def pixels_from_world(self, points: Float[Tensor, "*some N 3"]) -> Float[Tensor, "*batch N 3"]:
        """Homogeneous pixels (x w, y w, w), where w is the depth along the camera's z axis.

        Here and below, the batch of the argument and the batch of cameras broadcast.
        """
        points_cam = transforms.apply(self.cam_from_world, points)
        depth = points_cam[..., 2:]
        return torch.cat(
            [points_cam[..., :2] * self.focal[..., None, :] + self.center[..., None, :] * depth, depth], -1
        )

    def project(self, points: Float[Tensor, "*some N 3"]) -> Float[Tensor, "*batch N 2"]:
        """Pixel coordinates. Points at or behind the camera's plane have no picture: it is not finite or mirrored."""
        pixels = self.pixels_from_world(points)
        return pixels[..., :2] / pixels[..., 2:]

    def unproject(
        self, pixels: Float[Tensor, "*some N 2"], depth: Float[Tensor, "*some N"]
    ) -> Float[Tensor, "*batch N 3"]:
        """World points that `project` to `pixels` at camera depth `depth`."""
        plane = (pixels - self.center[..., None, :]) / self.focal[..., None, :]
        points_cam = torch.cat([plane, torch.ones_like(plane[..., :1])], -1) * depth[..., None]
        return transforms.apply(self.world_from_cam, points_cam)

    def depth(self, points: Float[Tensor, "*some N 3"]) -> Float[Tensor, "*batch N"]:
        """Distance of world points along the camera's z axis; negative behind it."""
        return transforms.apply(self.cam_from_world, points)[..., 2]

    def origins(self) -> Float[Tensor, "*batch H W 3"]:
        """World points from which the rays start: the camera's position, for every pixel."""
        return self.position[..., None, None, :].expand(*self.position.shape[:-1], *self.size, 3)

    def rays(self) -> Float[Tensor, "*batch H W 3"]:
        """World directions through the pixel centres, of depth 1 (not of length 1)."""
        grid = pixel_centers(self.size, dtype=self.focal.dtype, device=self.focal.device)
        plane = (grid - self.center[..., None, None, :]) / self.focal[..., None, None, :]
        rays_cam = torch.cat([plane, torch.ones_like(plane[..., :1])], -1)
        return torch.einsum("...ij,...hwj->...hwi", self.world_from_cam[..., :3, :3], rays_cam)


@dataclass(frozen=True)
class OrthographicCamera:
    """A camera of parallel rays, or `*batch` of them: the picture of a thing is as large near as far.

    Its methods are those of `Camera` and mean the same. What lies behind the camera has a negative depth, and a picture
    all the same: stand far enough away.
    """

    world_from_cam: Float[Tensor, "*batch 4 4"]
    """Rigid pose; where it stands along its z axis decides about depths only."""
    scale: Float[Tensor, "*batch 2"]
    """(x, y) in pixels per world unit."""
    center: Float[Tensor, "*batch 2"]
    """Pixel (x, y) of the points on the camera's z axis; the middle of an H x W picture is (W/2, H/2)."""
    size: tuple[int, int]
    """(H, W)."""

    @property
    def position(self) -> Float[Tensor, "*batch 3"]:
        return self.world_from_cam[..., :3, 3]

    @property
    def cam_from_world(self) -> Float[Tensor, "*batch 4 4"]:
        return transforms.inverse(self.world_from_cam)

    def __getitem__(self, index) -> "OrthographicCamera":
        """One of a batch, or a slice of it."""
        if self.scale.ndim == 1:
            raise ValueError(
                f"OrthographicCamera: [{index}] of a single camera; index a batch of them, or use it as it is"
            )
        return OrthographicCamera(self.world_from_cam[index], self.scale[index], self.center[index], self.size)

    def to(self, target: torch.device | torch.dtype | str) -> "OrthographicCamera":
        """The same camera on another device, or in another floating-point type."""
        return OrthographicCamera(
            self.world_from_cam.to(target), self.scale.to(target), self.center.to(target), self.size
        )

    def resized(self, size: tuple[int, int]) -> "OrthographicCamera":
        """The same view in a picture of another size: pixels scale, the pose stays."""
        ratio = self.scale.new_tensor([size[1] / self.size[1], size[0] / self.size[0]])
        return OrthographicCamera(self.world_from_cam, self.scale * ratio, self.center * ratio, size)

    def pixels_from_world(self, points: Float[Tensor, "*some N 3"]) -> Float[Tensor, "*batch N 3"]:
        """Homogeneous pixels (x, y, 1): nothing is divided by depth, which `depth` gives."""
        points_cam = transforms.apply(self.cam_from_world, points)
        pixels = points_cam[..., :2] * self.scale[..., None, :] + self.center[..., None, :]
        return torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1)

    def project(self, points: Float[Tensor, "*some N 3"]) -> Float[Tensor, "*batch N 2"]:
        """Pixel coordinates."""
        return self.pixels_from_world(points)[..., :2]

    def unproject(
        self, pixels: Float[Tensor, "*some N 2"], depth: Float[Tensor, "*some N"]
    ) -> Float[Tensor, "*batch N 3"]:
        """World points that `project` to `pixels` at camera depth `depth`."""
        plane = (pixels - self.center[..., None, :]) / self.scale[..., None, :]
        plane, away = torch.broadcast_tensors(plane, depth[..., None])
        return transforms.apply(self.world_from_cam, torch.cat([plane, away[..., :1]], -1))

    def depth(self, points: Float[Tensor, "*some N 3"]) -> Float[Tensor, "*batch N"]:
        """Distance of world points along the camera's z axis; negative behind it."""
        return transforms.apply(self.cam_from_world, points)[..., 2]

    def origins(self) -> Float[Tensor, "*batch H W 3"]:
        """World points of depth 0 from which the rays through the pixel centres start."""
        grid = pixel_centers(self.size, dtype=self.scale.dtype, device=self.scale.device)
        plane = (grid - self.center[..., None, None, :]) / self.scale[..., None, None, :]
        across = torch.einsum("...ij,...hwj->...hwi", self.world_from_cam[..., :3, :2], plane)
        return self.position[..., None, None, :] + across

    def rays(self) -> Float[Tensor, "*batch H W 3"]:
        """World directions through the pixel centres, of depth 1, which is length 1 here: all the same."""
        forward = self.world_from_cam[..., None, None, :3, 2]
        return forward.expand(*self.scale.shape[:-1], *self.size, 3)


AnyCamera = Camera | OrthographicCamera
"""What a renderer takes."""
CameraT = TypeVar("CameraT", Camera, OrthographicCamera)


def relative(camera: CameraT, new_from_cam: Float[Tensor, "*#batch 4 4"]) -> CameraT:
    """The camera moved in its own frame: `new_from_cam` takes camera coordinates before the move to those after it.

    So a point at `points_cam` is seen where `new_from_cam` takes it: (0, 0, 2) in its last column moves all that is
    seen 2 units away, a turn about z by a positive angle turns the picture clockwise.
    """
    return replace(camera, world_from_cam=camera.world_from_cam @ transforms.inverse(new_from_cam))


def orthographic(camera: Camera, depth: float | Float[Tensor, "*#batch"]) -> OrthographicCamera:
    """The view of `camera` with parallel rays, in which things at `depth` world units keep their place and size.

    So `orthographic(orbit(azimuth, elevation, distance, ...), distance)` looks at the origin.
    """
    away = torch.as_tensor(depth, dtype=camera.focal.dtype, device=camera.focal.device)
    if not bool((away > 0).all()):
        raise ValueError(f"orthographic: depth is {away.min().item():g}; give one in front of the camera")
    return OrthographicCamera(camera.world_from_cam, camera.focal / away[..., None], camera.center, camera.size)


def pixel_centers(size: tuple[int, int], *, dtype=torch.float32, device=None) -> Float[Tensor, "H W 2"]:
    """(x, y) of every pixel's centre."""
    y = torch.arange(size[0], dtype=dtype, device=device) + 0.5
    x = torch.arange(size[1], dtype=dtype, device=device) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def look_at(
    eye: Float[Tensor, "*#batch 3"],
    target: Float[Tensor, "*#batch 3"],
    *,
    focal: float | Tensor,
    size: tuple[int, int],
    up: tuple[float, float, float] = (0.0, 1.0, 0.0),
) -> Camera:
    """Camera at `eye` with `target` in the middle of its picture.

    `focal` is in pixels, one number for both axes or a tensor over the batch. Looking along `up` leaves the roll open;
    it is then the one at which +x is on the right (or -z, should `up` be rather the x axis). With y up, a top view has
    the front, +z, below. An eye in its target is an error.
    """
    if not any(up):
        raise ValueError(f"look_at: up is {up}; give a direction")
    eye, target = torch.broadcast_tensors(eye, target)
    same = (eye == target).all(-1)
    if bool(same.any()):
        raise ValueError(f"look_at: the eye is in its target, {eye[same][0].tolist()}; move one of them")
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    upward = torch.tensor(up, dtype=eye.dtype, device=eye.device).expand_as(forward)
    across = eye.new_tensor([0.0, 0.0, -1.0] if abs(up[0]) == max(map(abs, up)) else [1.0, 0.0, 0.0])
    spare = torch.linalg.cross(across.expand_as(forward), forward)
    parallel = torch.linalg.cross(forward, upward).norm(dim=-1, keepdim=True) < 1e-6
    upward = torch.where(parallel, spare, upward)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, upward), dim=-1)
    down = torch.linalg.cross(forward, right)
    world_from_cam = transforms.rigid(torch.stack([right, down, forward], -1), eye)
    focal = torch.as_tensor(focal, dtype=eye.dtype, device=eye.device)[..., None].expand(*eye.shape[:-1], 2)
    center = torch.tensor([size[1] / 2, size[0] / 2], dtype=eye.dtype, device=eye.device).expand(*eye.shape[:-1], 2)
    return Camera(world_from_cam, focal, center, size)


def orbit(
    azimuth: float | Float[Tensor, "*#batch"],
    elevation: float | Float[Tensor, "*#batch"],
    distance: float | Float[Tensor, "*#batch"],
    *,
    focal: float | Tensor,
    size: tuple[int, int],
) -> Camera:
    """Cameras on a sphere about the origin, looking at it. Angles in radians, distance in world units.

    Numbers take the type and the device of the tensors beside them; three numbers make one camera in float32.
    """
    like = next((x for x in (azimuth, elevation, distance) if isinstance(x, Tensor)), torch.zeros(()))
    around, above, away = torch.broadcast_tensors(
        *(torch.as_tensor(x, dtype=like.dtype, device=like.device) for x in (azimuth, elevation, distance))
    )
    direction = torch.stack([above.cos() * around.sin(), above.sin(), above.cos() * around.cos()], -1)
    eye = direction * away[..., None]
    return look_at(eye, torch.zeros_like(eye), focal=focal, size=size)


def orbit_angles(camera: Camera) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """(azimuth, elevation, distance) of the camera's position about the origin: what `orbit` was given."""
    x, y, z = camera.position.unbind(-1)
    distance = camera.position.norm(dim=-1)
    return torch.atan2(x, z), torch.asin((y / distance).clamp(-1, 1)), distance


def focal_from_fov(fov: float | Tensor, pixels: int) -> Tensor:
    """Focal length in pixels of a field of view of `fov` radians across `pixels` pixels."""
    return pixels / (2 * torch.tan(torch.as_tensor(fov) / 2))
