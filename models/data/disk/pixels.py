"""One encoded image -> what it is, and its pixels at the wanted size. Whatever is wrong with it becomes one reason.

Grey and colour are made of each other (ITU-R 601 luma), transparency is laid on white, 16 bits of grey become 8 (v /
257, rounded; of colour, or with an alpha channel, pillow keeps the upper byte, v // 256, which is at most one level
off), EXIF's orientation is applied, the centre square is taken and resized with antialiasing (bicubic; a large JPEG is
first reduced by a whole factor while it is decoded, and stays at least twice as large as wanted).
"""

from __future__ import annotations

import io
import struct
import zlib
from enum import IntFlag
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

RECIPE = 2  # to be raised when pixels() changes what it makes
DEEP = ("I;16", "I;16B", "I;16L", "I;16N")
UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError, struct.error,
              zlib.error, OverflowError, NotImplementedError, RuntimeError, MemoryError, Warning,
              Image.DecompressionBombError)  # what pillow's decoders raise on damaged files
ORIENTATION = 0x0112  # EXIF


class Fact(IntFlag):
    """What stands out in an image that is readable."""

    GREY = 1
    COLOUR = 2
    TRANSPARENT = 4
    PALETTE = 8
    DEEP = 16  # 16 bits a channel, where pillow tells: PNG, TIFF, PPM
    ROTATED = 32  # by its EXIF orientation
    ANIMATED = 64  # its first frame is taken


class Found(NamedTuple):
    """facts and shorter side, in pixels; or why the image is broken ("": it is not)."""

    facts: int
    side: int
    broken: str


def inspect(data: bytes) -> Found:
    """What an image is, at the cost of its header where that is enough to know that it is whole.

    A PNG's checksums are all verified; a JPEG has to end as one; every other image is decoded. What only pixels()
    notices in a PNG or JPEG is counted in models.data.disk.damage.
    """
    if not data:
        return Found(0, 0, "empty")
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            if width * height > int(Image.MAX_IMAGE_PIXELS or 2**31):
                return Found(0, 0, f"{width}x{height} pixels, more than {Image.MAX_IMAGE_PIXELS:,}")
            if image.mode not in KNOWN_MODES:
                return Found(0, 0, f"pixels of kind {image.mode}, whose range is not known")
            facts = _facts(image)
            if image.format == "PNG":
                image.verify()
            elif image.format != "JPEG" or not data.rstrip(b"\0\r\n").endswith(b"\xff\xd9"):
                image.load()
    except UNREADABLE as error:
        return Found(0, 0, _reason(error))
    return Found(int(facts), min(width, height), "")


def pixels(data: bytes, size: int, channels: int) -> np.ndarray:
    """(channels, size, size) uint8. Raises ValueError with the reason for an image that cannot be decoded."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            clear = opened.info.get("transparency")
            if isinstance(clear, tuple) and _is_deep(opened):  # a colour of 16 bits, of which pixels keep the upper 8
                opened.info["transparency"] = tuple(value >> 8 for value in clear)
            opened.draft(None, (2 * size, 2 * size))
            image = ImageOps.exif_transpose(opened) if opened.getexif().get(ORIENTATION, 1) != 1 else opened
            flat = _flattened(image, "L" if channels == 1 else "RGB")
            width, height = flat.size
            side = min(width, height)
            left, top = (width - side) / 2, (height - side) / 2
            if (width, height) != (size, size):
                flat = flat.resize((size, size), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
            found = np.array(flat, np.uint8).reshape(size, size, channels)
    except UNREADABLE as error:
        raise ValueError(_reason(error)) from error
    return np.ascontiguousarray(found.transpose(2, 0, 1))


KNOWN_MODES = {"1", "L", "P", "LA", "La", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", *DEEP}


def _facts(image: Image.Image) -> Fact:
    mode, facts = image.mode, Fact(0)
    if mode in DEEP or mode in ("1", "L", "LA", "La"):
        facts |= Fact.GREY
    else:
        facts |= Fact.COLOUR
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        facts |= Fact.TRANSPARENT
    if mode in ("P", "PA"):
        facts |= Fact.PALETTE
    if _is_deep(image):
        facts |= Fact.DEEP
    # For a PNG getexif() decodes everything first, in case that the orientation follows the pixels.
    if (image.format != "PNG" or "exif" in image.info) and image.getexif().get(ORIENTATION, 1) != 1:
        facts |= Fact.ROTATED
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        facts |= Fact.ANIMATED
    return facts


def _is_deep(image: Image.Image) -> bool:
    """Of an image not yet decoded: pillow makes 8 bits of deep colour, and only its decoder's arguments tell."""
    tile = getattr(image, "tile", None)
    raw = tile[0][3] if tile else ""
    kind, *rest = raw if isinstance(raw, tuple) else (raw,)
    return image.mode in DEEP or ";16" in str(kind) or (image.format == "PPM" and bool(rest) and rest[0] > 255)


def _flattened(image: Image.Image, mode: str) -> Image.Image:
    """An image of any known mode as L or RGB."""
    if image.mode in DEEP:
        deep = np.asarray(image, np.uint16)
        grey = np.rint(deep / 257).astype(np.uint8)
        grey[deep == image.info.get("transparency", -1)] = 255
        image = Image.fromarray(grey)
    elif "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        clear = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    return image if image.mode == mode else image.convert("RGB").convert(mode)


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if text.startswith("cannot identify image file"):
        return "not an image that pillow can read"
    return text[:120] or type(error).__name__
