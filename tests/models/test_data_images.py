"""One image of whatever kind -> pixels: against arithmetic on the arrays that the files were made from."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image

from models.data.disk.pixels import Fact, inspect, pixels
from tests.models import images

GREY, COLOUR = images.noise(1, 8, 8), images.noise(2, 8, 8, 3)


def luma(colour: np.ndarray) -> np.ndarray:
    """ITU-R 601."""
    return colour @ np.array([0.299, 0.587, 0.114])


def test_exact_pixels_stay_exact() -> None:
    assert np.array_equal(pixels(images.encoded(COLOUR), 8, 3), COLOUR.transpose(2, 0, 1))
    assert np.array_equal(pixels(images.encoded(GREY), 8, 1)[0], GREY)


def test_grey_and_colour_are_made_of_each_other() -> None:
    assert np.array_equal(pixels(images.encoded(GREY), 8, 3), np.stack([GREY] * 3))
    assert np.abs(pixels(images.encoded(COLOUR), 8, 1)[0] - luma(COLOUR)).max() <= 1
    assert inspect(images.encoded(GREY)) == (Fact.GREY, 8, "")
    assert inspect(images.encoded(COLOUR)) == (Fact.COLOUR, 8, "")


def test_transparency_is_laid_on_white() -> None:
    alpha = images.noise(3, 8, 8, 1)
    data = images.encoded(np.concatenate([COLOUR, alpha], -1))
    expected = (COLOUR * (alpha / 255) + 255 * (1 - alpha / 255)).transpose(2, 0, 1)
    assert np.abs(pixels(data, 8, 3) - expected).max() <= 1
    assert inspect(data).facts == Fact.COLOUR | Fact.TRANSPARENT
    sink = io.BytesIO()
    Image.fromarray(np.stack([GREY, alpha[..., 0]], -1), "LA").save(sink, "PNG")
    expected = GREY * (alpha[..., 0] / 255) + 255 - alpha[..., 0]
    assert np.abs(pixels(sink.getvalue(), 8, 1)[0] - expected).max() <= 1


@pytest.mark.parametrize("clear", [None, 0, bytes([0, 128, 255, 255])])
def test_a_palette_is_looked_up(clear: int | bytes | None) -> None:
    colours = images.noise(4, 4, 3)
    index = images.noise(5, 8, 8) % 4
    image = Image.fromarray(index, "P")
    image.putpalette(colours.tobytes())
    sink = io.BytesIO()
    image.save(sink, "PNG", **({} if clear is None else {"transparency": clear}))
    alpha = {None: [255] * 4, 0: [0, 255, 255, 255]}.get(clear, list(clear) if isinstance(clear, bytes) else [])
    weight = (np.array(alpha) / 255)[index][..., None]
    expected = (colours[index] * weight + 255 * (1 - weight)).transpose(2, 0, 1)
    assert np.abs(pixels(sink.getvalue(), 8, 3) - expected).max() <= 1
    assert Fact(inspect(sink.getvalue()).facts) & Fact.PALETTE


def test_sixteen_bits_become_eight() -> None:
    deep = np.random.default_rng(6).integers(0, 2**16, (8, 8), dtype=np.uint16)
    data = images.encoded(deep)
    assert np.array_equal(pixels(data, 8, 1)[0], np.rint(deep * (255 / 65535)))
    assert Fact(inspect(data).facts) & Fact.DEEP
    assert "whose range is not known" in inspect(images.encoded(np.ones((8, 8), np.float32), "TIFF")).broken


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_of_sixteen_bits_of_colour_the_upper_byte_is_kept_and_counted(channels: int) -> None:
    deep = np.random.default_rng(7).integers(0, 2**16, (8, 8, channels), dtype=np.uint16)
    deep[0, 0], opaque = 255, channels % 2 == 0
    if opaque:
        deep[..., -1] = 65535
    data = images.deep_png(deep)
    found = pixels(data, 8, 3)
    colours = deep[..., :-1] if opaque else deep
    assert np.array_equal(found, np.broadcast_to(colours // 256, (8, 8, 3)).transpose(2, 0, 1))
    assert np.abs(found - np.rint(np.broadcast_to(colours, (8, 8, 3)) / 257).transpose(2, 0, 1)).max() == 1
    assert Fact(inspect(data).facts) & Fact.DEEP and not Fact(inspect(images.encoded(COLOUR)).facts) & Fact.DEEP


def test_sixteen_bits_of_other_formats_are_counted() -> None:
    wide = np.random.default_rng(8).integers(0, 2**16, (2, 2, 3)).astype(">u2").tobytes()
    assert inspect(b"P6 2 2 65535\n" + wide) == (Fact.COLOUR | Fact.DEEP, 2, "")
    assert inspect(b"P6 2 2 255\n" + wide[:12]) == (Fact.COLOUR, 2, "")


@pytest.mark.parametrize("colour", [(40000,), (40000, 300, 7)])
def test_a_transparent_colour_of_sixteen_bits_is_laid_on_white(colour: tuple[int, ...]) -> None:
    deep = np.random.default_rng(9).integers(0, 2**16, (8, 8, len(colour)), dtype=np.uint16)
    deep[2:4] = colour
    plain, clear = images.deep_png(deep), images.deep_png(deep, colour)
    found = pixels(clear, 8, 3)
    assert (found[:, 2:4] == 255).all() and not (pixels(plain, 8, 3)[:, 2:4] == 255).any()
    assert np.array_equal(found[:, 4:], pixels(plain, 8, 3)[:, 4:])
    assert Fact(inspect(clear).facts) & (Fact.DEEP | Fact.TRANSPARENT) == Fact.DEEP | Fact.TRANSPARENT


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_exif_is_applied(orientation: int) -> None:
    """The eight meanings as the standard lists them: which side row 0 and column 0 are."""
    upright = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
               5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1), 7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
               8: lambda a: np.rot90(a, 1)}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = images.encoded(COLOUR, exif=exif)
    assert np.array_equal(pixels(data, 8, 3), upright(COLOUR).transpose(2, 0, 1))
    assert bool(Fact(inspect(data).facts) & Fact.ROTATED) == (orientation != 1)


@pytest.mark.parametrize(("height", "width"), [(8, 20), (21, 8), (9, 8)])
def test_the_centre_square_is_taken(height: int, width: int) -> None:
    """A ramp says where it was cut: its centre stays the centre."""
    ramp = np.add.outer(4.0 * np.arange(height), 4.0 * np.arange(width)).astype(np.uint8)
    found = pixels(images.encoded(ramp), 8, 1)[0].astype(float)
    expected = 4 * ((height - 1) / 2 + (width - 1) / 2)
    assert abs(found[2:-2, 2:-2].mean() - expected) < 1


def test_downscaling_averages_instead_of_picking() -> None:
    """Every other pixel black and white: picked pixels are one of both, averaged ones grey."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    assert np.abs(pixels(images.encoded(board), 8, 1)[0].astype(int) - 128).max() <= 2
    photo = np.kron(np.linspace(0, 255, 64).reshape(8, 8), np.ones((64, 64))).astype(np.uint8)
    large = pixels(images.encoded(photo, "JPEG", quality=95), 8, 1)[0].astype(int)
    assert np.abs(large[1:-1, 1:-1] - np.linspace(0, 255, 64).reshape(8, 8)[1:-1, 1:-1]).max() < 12


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"])
def test_other_formats(kind: str) -> None:
    smooth = np.add.outer(np.arange(0, 160, 10), np.arange(0, 80, 5)).astype(np.uint8)
    found = pixels(images.encoded(smooth, kind), 16, 1)[0].astype(int)
    assert np.abs(found - smooth).max() < 20 and inspect(images.encoded(smooth, kind)).broken == ""


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.fromarray(np.full((8, 8), v, np.uint8)) for v in (10, 200)]
    sink = io.BytesIO()
    frames[0].save(sink, "GIF", save_all=True, append_images=frames[1:])
    assert Fact(inspect(sink.getvalue()).facts) & Fact.ANIMATED
    assert abs(int(pixels(sink.getvalue(), 8, 1).mean()) - 10) <= 2


def _png_with_a_wrong_sum() -> bytes:
    data = bytearray(images.encoded(images.noise(0, 30, 30, 3)))
    data[len(data) // 2] ^= 1
    return bytes(data)


JPEG = images.encoded(images.noise(0, 40, 40, 3), "JPEG")
PNG = images.encoded(images.noise(0, 40, 40, 3))
BROKEN = {
    "empty": b"", "zeros": bytes(4000), "text": b"<html>404 Not Found</html>", "half a jpeg": JPEG[:len(JPEG) // 2],
    "a jpeg without its end": JPEG[:-2], "half a png": PNG[:len(PNG) // 2], "a flipped bit": _png_with_a_wrong_sum(),
    "a header alone": PNG[:33], "half a webp": images.encoded(images.noise(0, 40, 40, 3), "WEBP")[:500],
    "half a tiff": images.encoded(images.noise(0, 40, 40, 3), "TIFF")[:500],
    "half a bmp": images.encoded(images.noise(0, 40, 40, 3), "BMP")[:500],
    "half a gif": images.encoded(images.noise(0, 40, 40), "GIF")[:300],
    "huge": b"P5 100000 100000 255\n" + bytes(10), "floats": images.encoded(np.ones((8, 8), np.float32), "TIFF")}


@pytest.mark.filterwarnings("default:Image size:PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_image_has_a_reason(kind: str) -> None:
    found = inspect(BROKEN[kind])
    assert found.broken and found[:2] == (0, 0) and found.broken.isprintable() and len(found.broken) <= 130


@pytest.mark.parametrize("seed", range(3))
def test_no_damage_escapes_as_another_error(seed: int) -> None:
    """Files with random bytes changed, or cut: readable or not, nothing but ValueError comes out."""
    rng = np.random.default_rng(seed)
    whole = [images.encoded(images.noise(1, 24, 24, 3), kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")]
    for data in whole * 15:
        bad = bytearray(data)
        for at in rng.integers(0, len(bad), 5):
            bad[at] = rng.integers(256)
        cut = bytes(bad[:rng.integers(1, len(bad) + 1)])
        for version in (bytes(bad), cut):
            inspect(version)
            try:
                assert pixels(version, 8, 3).shape == (3, 8, 8)
            except ValueError as error:
                assert str(error)


def test_a_png_whose_pixels_are_damaged_under_right_sums_is_found_when_decoded() -> None:
    data = images.encoded(images.noise(0, 30, 30, 3))
    start = data.index(b"IDAT")
    length = int.from_bytes(data[start - 4:start], "big")
    content = bytearray(data[start + 4:start + 4 + length])
    content[length // 2:] = bytes(length - length // 2)
    chunk = b"IDAT" + content
    made = data[:start] + chunk + zlib.crc32(chunk).to_bytes(4, "big") + data[start + length + 8:]
    assert inspect(made).broken == ""
    with pytest.raises(ValueError, match=r"."):
        pixels(made, 8, 3)
