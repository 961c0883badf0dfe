"""Other people's cameras and worlds: one converter each way, and nothing else of them inside the library.

Ours: world right-handed, y up, fronts at +z; camera x right, y down, z forward; pixels from the upper left corner, with
centres at half integers. `docs/conventions.md` tells the same in words.
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from maquette import transforms
from maquette.camera import AnyCamera, Camera, CameraT, OrthographicCamera, focal_from_fov, orbit, orbit_angles


def moved(camera: CameraT, b_from_a: Float[Tensor, "4 4"]) -> CameraT:
    """The camera after a rigid change of the world's frame: it sees in b what it saw in a."""
    return replace(camera, world_from_cam=b_from_a.to(camera.world_from_cam) @ camera.world_from_cam)


# PyTorch3D: camera x left, y up, z forward; row vectors, X_cam = X_world R + T; same world as ours. -----------------


def camera_from_pytorch3d(
    R: Float[Tensor, "*batch 3 3"],
    T: Float[Tensor, "*batch 3"],
    *,
    focal: Float[Tensor, "*batch 2"],
    center: Float[Tensor, "*batch 2"],
    size: tuple[int, int],
) -> Camera:
    """`focal` and `center` in pixels, as PyTorch3D's cameras with `in_ndc=False` have them."""
    left_up = R.new_tensor([-1.0, -1.0, 1.0])
    cam_from_world = transforms.rigid(left_up[:, None] * R.mT, left_up * T)
    return Camera(transforms.inverse(cam_from_world), focal, center, size)


def orthographic_from_pytorch3d(
    R: Float[Tensor, "*batch 3 3"],
    T: Float[Tensor, "*batch 3"],
    *,
    focal: Float[Tensor, "*batch 2"],
    center: Float[Tensor, "*batch 2"],
    size: tuple[int, int],
) -> OrthographicCamera:
    """Of an `OrthographicCameras` with `in_ndc=False`, whose focal length is pixels per world unit."""
    like = camera_from_pytorch3d(R, T, focal=focal, center=center, size=size)
    return OrthographicCamera(like.world_from_cam, focal, center, size)


def pytorch3d_from_camera(camera: AnyCamera) -> tuple[Float[Tensor, "*batch 3 3"], Float[Tensor, "*batch 3"]]:
    """(R, T); focal length (or scale) and principal point in pixels stay as they are (`in_ndc=False`)."""
    left_up = camera.center.new_tensor([-1.0, -1.0, 1.0])
    cam_from_world = camera.cam_from_world
    return (left_up[:, None] * cam_from_world[..., :3, :3]).mT, left_up * cam_from_world[..., :3, 3]


def ndc_from_pixels(camera: AnyCamera) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch 2"]]:
    """PyTorch3D's (focal, principal point) with `in_ndc=True`: the shorter side is [-1, 1], x left, y up."""
    height, width = camera.size
    half = min(height, width) / 2
    middle = camera.center.new_tensor([width / 2, height / 2])
    pixels = camera.focal if isinstance(camera, Camera) else camera.scale
    return pixels / half, (middle - camera.center) / half


def pixels_from_ndc(
    focal: Float[Tensor, "*batch 2"], center: Float[Tensor, "*batch 2"], size: tuple[int, int]
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch 2"]]:
    """(focal, centre) in our pixels of PyTorch3D's numbers with `in_ndc=True`."""
    half = min(size) / 2
    return focal * half, center.new_tensor([size[1] / 2, size[0] / 2]) - center * half


def pixels_from_fov(
    fov: float | Float[Tensor, "*batch"], size: tuple[int, int], *, aspect_ratio: float = 1.0
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch 2"]]:
    """(focal, centre) in pixels of a `FoVPerspectiveCameras` whose field of view is `fov` radians, across the shorter
    side of the picture; `aspect_ratio` is the width of a pixel over its height.
    """
    focal = focal_from_fov(fov, min(size))
    center = focal.new_tensor([size[1] / 2, size[0] / 2]).expand(*focal.shape, 2)
    return torch.stack([focal / aspect_ratio, focal], -1), center


def pixels_from_box(
    low: Float[Tensor, "*batch 2"],
    high: Float[Tensor, "*batch 2"],
    size: tuple[int, int],
    *,
    scale: Float[Tensor, "*batch 2"] | None = None,
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch 2"]]:
    """(scale, centre) in pixels of a `FoVOrthographicCameras` of (min_x, min_y), (max_x, max_y) and scale_xyz.

    The box is in its camera's axes, x left, y up, and fills the square of the picture's shorter side; `scale` stretches
    the world, not the box.
    """
    middle, extent = (low + high) / (high - low), high - low
    stretched = 2 / extent if scale is None else 2 / extent * scale
    return pixels_from_ndc(stretched, -middle, size)


def pixels_from_co3d(
    focal: Float[Tensor, "*batch 2"],
    center: Float[Tensor, "*batch 2"],
    size: tuple[int, int],
    *,
    intrinsics_format: str,
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch 2"]]:
    """(focal, centre) in pixels of a viewpoint of CO3D, whose R and T are PyTorch3D's.

    `intrinsics_format` is the annotation's own: 'ndc_isotropic' has [-1, 1] on the shorter side, as PyTorch3D,
    'ndc_norm_image_bounds' on each side by itself.
    """
    match intrinsics_format:
        case "ndc_isotropic":
            return pixels_from_ndc(focal, center, size)
        case "ndc_norm_image_bounds":
            half = focal.new_tensor([size[1] / 2, size[0] / 2])
            return focal * half, half - center * half
        case _:
            raise ValueError(
                f"pixels_from_co3d: intrinsics_format is {intrinsics_format!r}; 'ndc_isotropic' or "
                f"'ndc_norm_image_bounds'"
            )


def composed_by_pytorch3d(camera: Camera, R_rel: Float[Tensor, "3 3"], T_rel: Float[Tensor, "3"]) -> Camera:
    """The camera after `R = R_rel @ R0; T = R_rel @ T0 + T_rel`, a formula of columns given to a camera of rows.

    It turns the world by R_rel transposed, but moves the camera by R_rel itself; `camera.relative` has no such twist.
    """
    R0, T0 = pytorch3d_from_camera(camera)
    T = (R_rel @ T0[..., None])[..., 0] + T_rel
    return camera_from_pytorch3d(R_rel @ R0, T, focal=camera.focal, center=camera.center, size=camera.size)


# OpenGL, Blender, NeRF: camera x right, y up, z backward, given as world_from_cam. ----------------------------------


def camera_from_opengl(
    world_from_cam: Float[Tensor, "*batch 4 4"],
    *,
    focal: Float[Tensor, "*batch 2"],
    center: Float[Tensor, "*batch 2"],
    size: tuple[int, int],
) -> Camera:
    """Of a pose as in NeRF's `transform_matrix`; its world, mostly Blender's, is turned with `y_up_from_z_up`."""
    return Camera(world_from_cam * _UP_BACKWARD.to(world_from_cam), focal, center, size)


def opengl_from_camera(camera: Camera) -> Float[Tensor, "*batch 4 4"]:
    """world_from_cam of a camera with x right, y up, z backward."""
    return camera.world_from_cam * _UP_BACKWARD.to(camera.world_from_cam)


def projection_from_camera(camera: AnyCamera, near: float, far: float) -> Float[Tensor, "*batch 4 4"]:
    """OpenGL's projection matrix, for columns in an OpenGL camera's axes: clip space, x right, y up, z -1 at `near`.

    A point is seen if |x|, |y|, |z| <= w; (0, 0) is the picture's middle, (-1, 1) its upper left corner.
    """
    if not near < far or (isinstance(camera, Camera) and not near > 0):
        raise ValueError(f"projection_from_camera: near is {near}, far {far}; give 0 < near < far")
    height, width = camera.size
    pixels = camera.focal if isinstance(camera, Camera) else camera.scale
    half = camera.center.new_tensor([width / 2, height / 2])
    shift = (camera.center - half) / half * camera.center.new_tensor([1.0, -1.0])
    matrix = camera.center.new_zeros(*camera.center.shape[:-1], 4, 4)
    matrix[..., [0, 1], [0, 1]] = pixels / half
    if isinstance(camera, Camera):
        # Depth is -z, and so is w.
        matrix[..., [0, 1], [2, 2]] = -shift
        matrix[..., 2, 2], matrix[..., 2, 3] = -(far + near) / (far - near), -2 * far * near / (far - near)
        matrix[..., 3, 2] = -1
    else:
        matrix[..., :2, 3] = shift
        matrix[..., 2, 2], matrix[..., 2, 3] = -2 / (far - near), -(far + near) / (far - near)
        matrix[..., 3, 3] = 1
    return matrix


def pixels_from_projection(
    projection: Float[Tensor, "*batch 4 4"], size: tuple[int, int]
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch 2"]]:
    """(focal, centre) of a perspective matrix, (scale, centre) of an orthographic one, in pixels.

    Matrices with shear, or of which some of a batch are perspective and some not, are an error.
    """
    perspective = projection[..., 3, 2] == -1
    if bool(perspective.any() != perspective.all()) or bool((projection[..., [0, 1], [1, 0]] != 0).any()):
        raise ValueError(
            "pixels_from_projection: the matrices are sheared, or some are perspective and some not; give them apart"
        )
    half = projection.new_tensor([size[1] / 2, size[0] / 2])
    pixels = projection[..., [0, 1], [0, 1]] * half
    shift = torch.where(perspective[..., None], -projection[..., :2, 2], projection[..., :2, 3])
    return pixels, half + shift * projection.new_tensor([1.0, -1.0]) * half


_UP_BACKWARD = torch.tensor([1.0, -1.0, -1.0, 1.0])
"""Factors of the columns of a pose: the second and third axis turned around, the position kept."""


# COLMAP: our camera, stored as its inverse; its pixel centres lie at half integers, too. -----------------------------


def camera_from_colmap(
    quaternion: Float[Tensor, "*batch 4"],
    translation: Float[Tensor, "*batch 3"],
    parameters: Float[Tensor, "*batch 4"],
    size: tuple[int, int],
) -> Camera:
    """Of QW QX QY QZ, TX TY TZ in images.txt and fx fy cx cy of a PINHOLE camera in cameras.txt."""
    cam_from_world = transforms.rigid(transforms.rotation_from_quaternion(quaternion), translation)
    return Camera(transforms.inverse(cam_from_world), parameters[..., :2], parameters[..., 2:], size)


def colmap_from_camera(
    camera: Camera,
) -> tuple[Float[Tensor, "*batch 4"], Float[Tensor, "*batch 3"], Float[Tensor, "*batch 4"]]:
    """(quaternion, translation, fx fy cx cy) of a PINHOLE camera."""
    cam_from_world = camera.cam_from_world
    quaternion = transforms.quaternion_from_rotation(cam_from_world[..., :3, :3])
    return quaternion, cam_from_world[..., :3, 3], torch.cat([camera.focal, camera.center], -1)


# OpenCV and RGB-D files: our camera, but pixel centres at integers. --------------------------------------------------


def camera_from_opencv(
    cam_from_world: Float[Tensor, "*batch 4 4"], K: Float[Tensor, "*batch 3 3"], size: tuple[int, int]
) -> Camera:
    """Of extrinsics and the matrix K of a calibration in which the first pixel's centre is (0, 0)."""
    focal, center = K[..., [0, 1], [0, 1]], K[..., :2, 2] + 0.5
    return Camera(transforms.inverse(cam_from_world), focal, center, size)


def opencv_from_camera(camera: Camera) -> tuple[Float[Tensor, "*batch 4 4"], Float[Tensor, "*batch 3 3"]]:
    """(cam_from_world, K) for code in which the first pixel's centre is (0, 0)."""
    K = torch.diag_embed(torch.nn.functional.pad(camera.focal, (0, 1), value=1.0))
    K[..., :2, 2] = camera.center - 0.5
    return camera.cam_from_world, K


# Worlds --------------------------------------------------------------------------------------------------------------


def y_up_from_z_up() -> Float[Tensor, "4 4"]:
    """From Blender's world (z up, fronts at -y) to ours (y up, fronts at +z): (x, y, z) becomes (x, z, -y)."""
    return torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def world_from_shapenet(version: int) -> Float[Tensor, "4 4"]:
    """From ShapeNetCore's OBJ files to our world: y is up in both; the front is +x in version 1 and -z in version 2."""
    fronts = {1: "+x", 2: "-z"}
    if version not in fronts:
        raise ValueError(f"world_from_shapenet: version is {version}; 1 or 2")
    return transforms.z_from_front(fronts[version])


R2N2_DISTANCE = 1.75
"""Length in object units of a distance ratio of 1."""
R2N2_FOCAL = 2.1875 / 2
"""Focal length as a part of the picture's side: a lens of 35 mm before a sensor of 32 mm; 149.8 px at 137."""


def camera_from_r2n2(
    azimuth_deg: Float[Tensor, "*batch"],
    elevation_deg: Float[Tensor, "*batch"],
    distance_ratio: Float[Tensor, "*batch"],
    *,
    side: int = 137,
) -> Camera:
    """Of a line of `rendering_metadata.txt` (Choy et al. 2016), whose models are turned by `world_from_shapenet(1)`.

    Their azimuth is 0 at the model's +x, its front, and grows towards the model's +z, which is -x in our world.
    """
    azimuth, elevation = (-azimuth_deg * math.pi / 180, elevation_deg * math.pi / 180)
    return orbit(azimuth, elevation, distance_ratio * R2N2_DISTANCE, focal=R2N2_FOCAL * side, size=(side, side))


def r2n2_from_camera(
    camera: Camera,
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """(azimuth in 0..360, elevation, distance ratio) of a camera that looks at the origin."""
    azimuth, elevation, distance = orbit_angles(camera)
    return (-azimuth * 180 / math.pi) % 360, elevation * 180 / math.pi, distance / R2N2_DISTANCE
