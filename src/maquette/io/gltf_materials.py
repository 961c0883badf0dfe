"""Materials of glTF: base colour and its texture, as light in the file and sRGB here. The rest is not for us."""

from typing import Any

import numpy as np

from maquette.io.assemble import Material, Wrap
from maquette.io.colors import srgb_from_linear
from maquette.io.gltf_document import Document, view_bytes
from maquette.io.pictures import decode_texture
from maquette.io.references import read_reference

_WRAPS: dict[int, Wrap] = {33071: "clamp", 33648: "mirror", 10497: "repeat"}


def base_color(document: Document, index: int | None) -> tuple[dict | None, np.ndarray]:
    """The base colour's texture reference, if any, and its factor (linear RGBA)."""
    if index is None:
        return None, np.ones(4)
    material, where = document.item("materials", index), f"material {index}"
    extensions = document.child(material, "extensions", where)
    pbr, color, texture = document.child(material, "pbrMetallicRoughness", where), "baseColorFactor", "baseColorTexture"
    if "KHR_materials_pbrSpecularGlossiness" in extensions:
        pbr = document.child(extensions, "KHR_materials_pbrSpecularGlossiness", where)
        color, texture = "diffuseFactor", "diffuseTexture"
    factor = document.numbers(pbr, color, [1.0, 1.0, 1.0, 1.0], where)
    return (document.child(pbr, texture, where) if texture in pbr else None), factor


def material_of(document: Document, index: int | None) -> Material:
    if index is None:
        return Material()
    reference, factor = base_color(document, index)
    material = document.item("materials", index)
    see_through = material.get("alphaMode", "OPAQUE") in ("BLEND", "MASK")
    r, g, b = (float(x) for x in srgb_from_linear(factor[:3].clip(0, 1)))
    image = None
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    if reference is not None:
        texture = document.item("textures", reference.get("index"))
        found = _picture(document, texture)
        if found is not None:
            image = found[0]
            see_through = see_through and (found[1] or factor[3] < 1)
        if "sampler" in texture:
            sampler = document.item("samplers", texture["sampler"])
            wrap = (_wrap(sampler.get("wrapS")), _wrap(sampler.get("wrapT")))
    else:
        see_through = see_through and factor[3] < 1
    if see_through:
        document.note("transparency is not kept: the surfaces become opaque")
    silent = reference is None and factor.tolist() == [1.0] * 4 and not _says_color(document, material)
    return Material(None if silent else (r, g, b), image, wrap)


def _says_color(document: Document, material: dict) -> bool:
    """Whether a base colour is written down; a material may be about roughness alone."""
    return "baseColorFactor" in document.child(material, "pbrMetallicRoughness", "material") or bool(
        material.get("extensions")
    )


def _wrap(value: Any) -> Wrap:
    return _WRAPS.get(value, "repeat") if isinstance(value, int) else "repeat"


def _picture(document: Document, texture: dict) -> tuple[np.ndarray, bool] | None:
    """RGB of a texture's picture and whether it has transparent pixels; None, and a note, when it cannot be had."""
    source = texture.get("source")
    for extension in ("EXT_texture_webp", "EXT_texture_avif"):
        source = document.child(document.child(texture, "extensions", "texture"), extension, "texture").get(
            "source", source
        )
    if source is None:
        document.note("a texture of a kind that is not read (KTX2?): its material's base colour is used")
        return None
    image = document.item("images", source)
    if source not in document.pictures:
        try:
            if "bufferView" in image:
                data, name = bytes(view_bytes(document, image["bufferView"])[0]), f"picture {source}"
            else:
                uri = image.get("uri")
                if not isinstance(uri, str):
                    raise document.wrong(f"picture {source} has neither uri nor bufferView")
                data, name = read_reference(document.path, uri), ascii(uri[:60])
            decoded = sum(p[0].shape[0] * p[0].shape[1] for p in document.pictures.values() if p is not None)
            rgba = decode_texture(data, name, decoded=decoded)
            document.pictures[source] = np.ascontiguousarray(rgba[..., :3]), bool((rgba[..., 3] < 255).any())
        except OSError as error:
            document.note(
                f"texture left out, its material's base colour is used: {str(error).removeprefix(f'{document.path}: ')}"
            )
            document.pictures[source] = None
    return document.pictures[source]
