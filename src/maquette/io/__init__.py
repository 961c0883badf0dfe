"""Files in and out: shapes, pictures, video. Everything is written whole or not at all."""

from maquette.io.atomic import atomic_path, write_bytes, write_json, write_text
from maquette.io.load_save import load, save
from maquette.io.pictures import read_picture, write_picture
from maquette.io.video import save_video

__all__ = [
    "atomic_path",
    "load",
    "read_picture",
    "save",
    "save_video",
    "write_bytes",
    "write_json",
    "write_picture",
    "write_text",
]
