"""Sample sheets on the page: shown as they are, and cut for the joint figure as the tracker laid them out."""

from __future__ import annotations

import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from analysis.panels import sheets
from study.store.sheet import pairs, sheet


@pytest.fixture
def ax():
    return matplotlib.figure.Figure().subplots()


def test_a_sheet_is_shown_pixel_for_pixel_and_named(ax, tmp_path):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(pixels).save(tmp_path / "s.png")
    sheets.sample_sheet(tmp_path / "s.png", ax, shape=(2,), note="seed 3, stable")
    assert np.array_equal(ax.images[0].get_array(), pixels) and ax.get_xlabel() == "seed 3, stable"
    flags = "biased gap, poor quality, short-run only, kappa > 2"
    sheets.sample_sheet(tmp_path / "s.png", ax, shape=(2,), note=f"seed 3, stable; {flags}")
    lines = ax.get_xlabel().split("\n")
    assert " ".join(lines) == f"seed 3, stable; {flags}" and max(map(len, lines)) <= sheets.NOTE


@pytest.mark.parametrize("channels", [1, 3])
def test_between_the_images_of_a_sheet_the_reader_s_paper_is_seen(ax, tmp_path, channels):
    """Opaque are exactly the pixels of images, here none of which is white, and their colours stay."""
    (tmp_path / "s.png").write_bytes(sheet(np.random.default_rng(0).uniform(-1, 0.9, (16, channels, 6, 8))))
    page = np.asarray(Image.open(tmp_path / "s.png").convert("RGB"))
    shown = sheets.sample_sheet(tmp_path / "s.png", ax, shape=(channels, 6, 8), note="").images[0].get_array()
    assert np.array_equal(shown[..., 3] == 0, (page == 255).all(2)) and set(np.unique(shown[..., 3])) == {0, 255}
    assert np.array_equal(shown[..., :3], page)


def test_the_joint_figure_cuts_the_images_that_the_sheets_hold(tmp_path):
    rng = np.random.default_rng(0)
    images, train = rng.uniform(-1, 1, (40, 1, 6, 8)), rng.uniform(-1, 1, (30, 1, 6, 8))
    (tmp_path / "s.png").write_bytes(sheet(images))
    (tmp_path / "n.png").write_bytes(pairs(images, train, (-1, 1)))
    grey = np.rint((images[:, 0] + 1) * 127.5).astype(np.uint8)
    near = ((images[:, None] - train[None]) ** 2).sum((2, 3, 4)).argmin(1)
    real = np.rint((train[near][:, 0] + 1) * 127.5).astype(np.uint8)
    mine, nearest = (sheets.cut(tmp_path / f"{k}.png", (1, 6, 8), 5, k == "n") for k in "sn")
    assert [np.array_equal(a[::6, ::6], b) for a, b in zip(mine, grey[:5], strict=True)] == [True] * 5
    assert [np.array_equal(a[::6, ::6], b) for a, b in zip(nearest, real[:5], strict=True)] == [True] * 5
    said = "stable; biased gap, poor quality"
    own = "ggcn\n0.09608, 13 steps\nseed 0"  # with what wraps four lines
    columns = [sheets.Column("kl", mine, nearest, note=said), sheets.Column("gone", [], [], alarm=True),
               sheets.Column(own, mine[::-1], [])]
    figure = matplotlib.figure.Figure(figsize=sheets.joint_size(columns))
    drawn = sheets.side_by_side(columns, figure.subplots())
    assert {255} == set(drawn.images[0].get_array()[..., 3].ravel().tolist()) - {0}, "opaque are images alone"
    page, titles = drawn.images[0].get_array(), [t for t in drawn.texts if t.get_gid() == "title"]
    assert [t.get_text().replace("\n", " ") for t in titles] == ["kl", "gone", own.replace("\n", " ")]
    assert titles[2].get_position()[1] + 3 >= 4 * sheets.LINE / sheets.PICTURE * 48, "room for four lines"
    notes = [t for t in drawn.texts if t.get_gid() == "note"]
    assert [t.get_text().replace("\n", " ") for t in notes] == [said, "", ""]
    assert notes[0].get_position()[1] >= titles[0].get_position()[1] + 5 * (36 + sheets.NARROW)  # under all of them
    for column, title in ((columns[0], titles[0]), (columns[2], titles[2])):
        x, y = (int(v) for v in title.get_position())
        for i, image in enumerate(column.images):  # the same chain in the same row of every column
            top = y + 3 + i * (36 + sheets.NARROW)
            assert np.array_equal(page[top:top + 36, x:x + 48, 0], image)
    (tmp_path / "p.png").write_bytes(sheet(rng.normal(size=(9, 2))))
    assert sheets.cut(tmp_path / "p.png", (2,), 5)[0].shape == (256, 256)
