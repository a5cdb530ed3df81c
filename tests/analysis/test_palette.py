"""Colours: a hue a method, told apart by the colour-blind and on both papers; no two arms look alike."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

from analysis.page.svg import themed
from analysis.panels.palette import DARK, LIGHT, METHODS, THEME, Arms, colours, dashes, hatches, markers, style

PLAN = {**dict.fromkeys(("kl", "kl+drift", "kl+step", "kl+noise", "kl+clip"), "kl"),
        **dict.fromkeys(("r1", "jko-c0.125", "jko-c0.25", "jko", "jko-c1"), "jko"),
        "hidden": "hidden", "amortized": "amortized", "ggcn": "ggcn"}  # search_spaces/compare.yaml
EYES = {  # Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                [0.0193339, 0.1191920, 0.9503041]])


def test_what_a_user_has_in_matplotlibrc_changes_no_figure():
    with style():
        plain = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"text.usetex": True, "lines.linewidth": 9, "savefig.bbox": "tight"}):
        with style():
            assert dict(matplotlib.rcParams) == plain
        assert matplotlib.rcParams["text.usetex"]


def linear(codes):
    c = np.array([[int(code[i:i + 2], 16) for i in (1, 3, 5)] for code in codes]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(codes, eye):
    """CIELAB (n, 3) of what that eye sees."""
    t = np.clip(linear(codes) @ np.asarray(EYES[eye]).T, 0, 1) @ XYZ.T / XYZ.sum(1)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def ciede2000(one, two):
    """The colour difference of CIE 142-2001. one, two: (..., 3) CIELAB."""
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(one, -1, 0), np.moveaxis(two, -1, 0)
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 1.5 - 0.5 * np.sqrt(mean**7 / (mean**7 + 25.0**7))
    c1, c2 = np.hypot(a1 * g, b1), np.hypot(a2 * g, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a * g)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180
    turn = np.where(c1 * c2 == 0, 0, turn)
    dl, dc, dh = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    light, c = (l1 + l2) / 2, (c1 + c2) / 2
    h = np.where(c1 * c2 == 0, h1 + h2, h1 + turn / 2)
    t = (1 - 0.17 * np.cos(np.radians(h - 30)) + 0.24 * np.cos(np.radians(2 * h))
         + 0.32 * np.cos(np.radians(3 * h + 6)) - 0.20 * np.cos(np.radians(4 * h - 63)))
    sl = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    sc, sh = 1 + 0.045 * c, 1 + 0.015 * c * t
    rt = (-2 * np.sqrt(c**7 / (c**7 + 25.0**7))
          * np.sin(np.radians(60 * np.exp(-((((h % 360) - 275) / 25) ** 2)))))
    return np.sqrt((dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + rt * (dc / sc) * (dh / sh))


def nearest(codes, eye):
    """The smallest distance of two of these colours."""
    seen = lab(codes, eye)
    return ciede2000(seen[:, None], seen[None])[np.triu_indices(len(codes), 1)].min()


def test_the_distance_is_that_of_sharmas_test_data():
    pairs = [((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425), ((50, 2.5, 0), (73, 25, -18), 27.1492),
             ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
             ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373)]
    for one, two, wanted in pairs:
        assert ciede2000(np.array(one, float), np.array(two, float)) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("table", [LIGHT, DARK], ids=["light", "dark"])
def test_hues_are_told_apart_by_every_eye(table, eye):
    base = [hue[0] for hue in table]
    assert nearest(base[:len(METHODS)], eye) >= 11 and nearest(base, eye) >= 8
    assert min(nearest(hue, eye) for hue in table) >= 8  # a method's arms, by lightness alone


@pytest.mark.parametrize(("paper", "which"), [("#fffffe", 0), ("#15191d", 1)])
def test_arms_keep_a_contrast_of_three_on_their_paper(paper, which):
    def luminance(code):
        return float(linear([code])[0] @ XYZ[1])

    for name in [k for k in THEME if k.startswith("arm")] + ["soft", "alarm"]:
        a, b = sorted((luminance(THEME[name][which]), luminance(paper)))
        assert (b + 0.05) / (a + 0.05) >= 3, name


def test_no_two_of_thirteen_arms_look_alike():
    arms = Arms(PLAN, PLAN)
    for other in (markers(arms), {a: (colours(arms)[a], str(dashes(arms)[a])) for a in arms},
                  {a: (colours(arms)[a], hatches(arms)[a]) for a in arms}):
        assert len({str(v) for v in other.values()}) == len(PLAN)
    for method in set(PLAN.values()):  # the arms of a method share a hue and differ in dashes and hatch as well
        own = [a for a in arms if PLAN[a] == method]
        row = next(hue for hue in LIGHT if colours(arms)[own[0]] in hue)
        assert {colours(arms)[a] for a in own} <= set(row)
        assert len({str(dashes(arms)[a]) for a in own}) == len({hatches(arms)[a] for a in own}) == len(own)


def test_a_method_has_its_colour_in_every_study():
    one, two = Arms(PLAN, PLAN), Arms(["ggcn", "jko-c1", "jko", "w", "kl"], {**PLAN, "w": "w"})
    assert {colours(one)[a] for a in ("kl", "jko", "ggcn")} == {colours(two)[a] for a in ("kl", "jko", "ggcn")}
    assert colours(one)["jko"] == LIGHT[METHODS.index("jko")][0] != colours(one)["r1"]
    assert colours(two)["w"] not in {c for hue in LIGHT[:len(METHODS)] for c in hue}
    assert len(set(colours([f"new{i}" for i in range(24)]).values())) == 24


def test_every_theme_colour_becomes_a_variable():
    assert themed(f"fill: {THEME['ink'][0]}; stroke: {THEME['arm1'][0]}") == "fill: var(--ink); stroke: var(--arm1)"
    codes = [code for pair in THEME.values() for code in pair]
    assert all(len(c) == 7 and c.startswith("#") and int(c[1:], 16) >= 0 for c in codes)
    assert len({light for light, _ in THEME.values()}) == len(THEME)
