"""The page in headless Chromium: what a person sees, on a phone and on paper-white or dark screens."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from mlflow import MlflowClient

from analysis import report
from analysis.page import canvas
from tests.analysis import synthetic_study as toy
from tests.stores import template

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.slow

WIDTHS, SCHEMES = (360, 900, 1400), ("light", "dark")
NAME = "<img src=x onerror=alert(1)>\"'</title><script>alert(2)</script>"
ARMS = ("kl<script>alert(3)</script>", "j\"onload=4", "<svg>'")
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
           "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage")

# Text whose colour has a contrast below 4.5 (3 where it is large) against the nearest background behind it.
CONTRAST = """
const light = c => { const s = c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
  .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * s[0] + .7152 * s[1] + .0722 * s[2]; };
const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
  if (!/, 0\\)|transparent/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
let n = 0;
while (walk.nextNode()) { const node = walk.currentNode, e = node.parentElement, style = getComputedStyle(e);
  if (!node.data.trim() || !e.getClientRects().length) continue;
  const [a, b] = [light(style.color), light(behind(e))].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
  n += 1;
  if (ratio < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) found.push([node.data.trim().slice(0, 40), ratio]); }
return [n, found];
"""
FIGURES = """
return [...document.querySelectorAll('figure svg')].map(s => { const r = s.getBoundingClientRect();
  return [s.getAttribute('aria-label'), r.width, r.height, s.checkVisibility(),
          [...s.querySelectorAll('use')].every(u => document.querySelector(u.href.baseVal))]; });
"""
TICKS = """
return [...document.querySelectorAll('.panels:not(.sheets) > figure svg')].map(s => {
  const wide = s.getBoundingClientRect().width;
  return [s.getAttribute('aria-label'), 8.5 * wide / s.viewBox.baseVal.width, wide, s.parentElement.clientWidth]; });
"""
FOLDED = """
return [...document.querySelectorAll('.more svg')].map(s => s.checkVisibility({contentVisibilityAuto: true})
  && s.getBoundingClientRect().height > 50);
"""
FOCUS = """
const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
return [e.tagName + ':' + (e.getAttribute('aria-label') || e.textContent.trim().slice(0, 60)),
        parseFloat(style.outlineWidth) >= 2 && style.outlineStyle !== 'none', box.width * box.height > 0,
        [...document.querySelectorAll('*')].indexOf(e)];
"""
REACHABLE = """
return [...document.querySelectorAll('a[href], summary, [tabindex="0"]')].filter(e => e.checkVisibility())
  .map(e => [...document.querySelectorAll('*')].indexOf(e));
"""


NAMED = """
const figures = [...document.querySelectorAll('figure svg')], [name] = arguments;
const svg = figures.find(s => s.getAttribute('aria-label').startsWith(name));
svg.scrollIntoView({block: 'center', behavior: 'instant'});
return [...svg.querySelectorAll('use')].filter(u => u.said).map(u => { const b = u.getBoundingClientRect();
  return [b.x + b.width / 2, b.y + b.height / 2, u.said]; });
"""
TIP = """
const tip = document.querySelector('.tip'), box = tip.getBoundingClientRect();
return [tip.textContent, box.left >= 0 && box.top >= 0 && box.right <= innerWidth && box.bottom <= innerHeight,
        [...document.querySelectorAll('use.on')].map(u => u.getBoundingClientRect()).map(b => [
          b.x + b.width / 2, b.y + b.height / 2,
          Math.max(box.left - b.right, b.left - box.right, box.top - b.bottom, b.top - box.bottom)])];
"""
TABLES = """
document.querySelectorAll('details').forEach(d => d.open = true);
return [...document.querySelectorAll('.scroll:has(> table)')].filter(e => e.scrollWidth > e.clientWidth).map(e => {
  e.scrollIntoView({block: 'center', behavior: 'instant'});
  const box = e.getBoundingClientRect(), cell = e.querySelector('tbody tr td').getBoundingClientRect();
  const head = e.querySelector('th:last-child'), hidden = head.getBoundingClientRect().left > box.right;
  e.scrollLeft = 1e5;
  const stays = e.querySelector('tbody tr td').getBoundingClientRect();
  return [e.id, hidden, stays.left === cell.left && cell.left === box.left, stays.width / box.width,
          head.getBoundingClientRect().right <= box.right + 1,
          getComputedStyle(e).backgroundAttachment, e.tabIndex]; });
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One Chromium with an empty profile, which notes requests and what is said in the console."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("Chromium (chromium, chromedriver) is not installed here")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    folder, options = tmp_path_factory.mktemp("browser"), ChromeOptions()
    options.binary_location = chromium
    for option in (*OPTIONS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(option)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "downloads")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options=options, service=ChromeService(driver))
    chrome.downloads = folder / "downloads"
    yield chrome
    chrome.quit()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a study whose names are hostile, while it runs: some of it is missing."""
    root = tmp_path_factory.mktemp("hostile")
    uri = f"sqlite:///{shutil.copy(template(), root / 'mlflow.db')}"
    toy.write(uri, root / "artifacts", NAME, ARMS)
    client = MlflowClient(uri)
    [run] = client.search_runs([client.get_experiment_by_name(NAME).experiment_id], "tags.kind = 'launch'")
    client.set_tag(run.info.run_id, "dirty", "true")
    client.log_text(run.info.run_id, "+</pre><script>alert(6)</script>\n", "git.diff")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "_save_png", lambda *of: None)  # the page has SVG
        assert report.main(["--tracking-uri", uri, "--out", str(root / "r")]) == 0
    return root / "r"


def shown(browser: Chrome, page: Path, width: int, scheme: str) -> None:
    """Loads the page anew on a screen of that width for a reader of that taste."""
    from selenium.webdriver.support.wait import WebDriverWait

    browser.execute_cdp_cmd("Emulation.setEmulatedMedia",
                            {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
    browser.get_log("browser"), browser.get_log("performance")
    browser.get((page / "index.html").as_uri())
    WebDriverWait(browser, 60).until(  # of a busy machine `get` returned while half of the page was there
        lambda b: b.execute_script("return document.readyState") == "complete")


def requests(browser: Chrome) -> list[str]:
    """Addresses that were asked for since the page was loaded; not data in it, nor what a new tab of Chromium shows."""
    events: list[dict[str, Any]] = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    return [url for url in asked if not url.startswith(("data:", "chrome:", "chrome-untrusted:"))]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_whole_and_legible(browser, written, width, scheme):
    shown(browser, written, width, scheme)
    assert requests(browser) == [(written / "index.html").as_uri()] and browser.get_log("browser") == []
    browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    figures, ticks = browser.execute_script(FIGURES), browser.execute_script(TICKS)
    assert len(figures) == len(list((written / "figures").glob("*.svg"))) >= 15
    assert len(ticks) > 10 and [t for t in ticks if t[1] < 9] == []  # what is wider than the screen scrolls in its box
    assert width < 600 or [t for t in ticks if t[2] > t[3] + 1] == []
    assert [f for f in figures if f[1] < 100 or f[2] < 80 or not f[3] or not f[4]] == []
    needed, there, screen = browser.execute_script(
        "const d = document.documentElement; return [d.scrollWidth, d.clientWidth, window.innerWidth]")
    assert needed <= there and screen == width
    n, faint = browser.execute_script(CONTRAST)
    assert n > 300 and faint == []
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 254)", "dark": "rgb(21, 25, 29)"}[scheme]


def test_no_width_between_needs_a_page_wide_scroll(browser, written):
    shown(browser, written, 320, "light")
    for width in (320, 480, 700, 1000, 1016, 1040, 1100, 1200):
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
        needed, there = browser.execute_script(
            "const d = document.documentElement; return [d.scrollWidth, d.clientWidth]")
        assert needed <= there, width


def test_a_hostile_name_is_text(browser, written):
    shown(browser, written, 1400, "light")
    assert browser.title == f"{NAME}: report"
    assert NAME in browser.execute_script("return document.querySelector('.kicker').textContent")
    assert browser.execute_script("return document.querySelectorAll('img, iframe, [onerror], [onload]').length") == 0
    assert browser.execute_script("return document.scripts.length") == 1  # the page's own
    shadows = browser.execute_script("return [...document.querySelectorAll('body > *')].map(e => e.tagName)")
    assert shadows == ["svg", "MAIN", "SCRIPT", "DIV"]  # an alert would have raised already


def test_folded_figures_are_closed_on_a_screen_and_open_on_paper(browser, written):
    from selenium.webdriver.support.wait import WebDriverWait

    shown(browser, written, 1400, "light")
    seen = browser.execute_script(FOLDED)
    assert len(seen) > 0 and not any(seen)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        WebDriverWait(browser, 20).until(  # a busy machine lays the page out for paper a moment later
            lambda b: b.execute_script(FOLDED) == [True] * len(seen))
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize("width", [390, 1400])
def test_the_tab_key_goes_through_everything_in_order_and_the_focus_is_seen(browser, written, width):
    from selenium.webdriver import ActionChains, Keys

    shown(browser, written, width, "light")
    wanted, seen = browser.execute_script(REACHABLE), []
    for _ in range(len(wanted) + 60):
        ActionChains(browser, duration=0).send_keys(Keys.TAB).perform()
        name, outlined, has_size, place = browser.execute_script(FOCUS)
        if name.startswith("BODY") or place in seen:  # once around
            break
        assert outlined and has_size, name
        seen.append(place)
    assert len(wanted) > 40 and set(wanted) <= set(seen)
    assert seen == sorted(set(seen))


def test_links_download_what_is_shown(browser, written):
    """Of a figure and of a table; and a link of the contents goes to its section."""
    from selenium.webdriver.support.wait import WebDriverWait

    shown(browser, written, 1400, "light")
    for folder, name in (("figures", "kappa.csv"), ("tables", "design_cells.csv")):
        link = browser.find_element("css selector", f"a[download='{name}']")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", link)
        link.click()
        WebDriverWait(browser, 30).until(lambda b, name=name: (b.downloads / name).exists())
        assert (browser.downloads / name).read_bytes() == (written / folder / name).read_bytes()
    browser.find_element("link text", "How it was measured").click()
    assert 0 <= browser.execute_script(
        "return document.querySelector('#to-how-it-was-measured').getBoundingClientRect().top") < 900


def point(browser: Chrome, kind: str, x: float, y: float) -> None:
    """The mouse, or a finger, at a place of the window."""
    if kind == "touch":
        for event, places in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
            browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": event, "touchPoints": places})
        return
    for event in ("mouseMoved", "mousePressed", "mouseReleased") if kind == "click" else ("mouseMoved",):
        browser.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": event, "x": x, "y": y, "clickCount": 1, "button":
                                                             "none" if event == "mouseMoved" else "left"})


@pytest.mark.parametrize(("width", "kind"), [(1400, "move"), (360, "touch")])
def test_the_mark_under_the_pointer_says_which_replicate_it_is(browser, written, width, kind):
    from selenium.webdriver.support.wait import WebDriverWait

    shown(browser, written, width, "light")
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": kind == "touch"})
    try:
        marks = browser.execute_script(NAMED, "The gauge kappa")
        assert len(marks) == 130 and browser.execute_script(TIP)[0] == ""
        for x, y, said in [marks[k] for k in (0, 70) if marks[k][0] < width - 10]:
            WebDriverWait(browser, 20).until(  # again, as the page may still scroll to the figure, which hides it
                lambda b, x=x, y=y, said=said: point(b, kind, x, y) or b.execute_script(TIP)[:2] == [said, True])
            [[*place, apart]] = browser.execute_script(TIP)[2]
            assert place == pytest.approx([x, y], abs=1) and 0 <= apart < 20
            assert said.startswith((*(f"{arm}, seed " for arm in ARMS),)) and "step size" in said
        if kind == "move":  # away from all
            point(browser, kind, marks[0][0], 5)
            WebDriverWait(browser, 20).until(lambda b: b.execute_script(TIP)[0] == "")
    finally:
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_arrow_keys_go_from_mark_to_mark_and_a_click_or_enter_opens_its_run(browser, written):
    """Where MLflow has a page, which here has an address alone; the addresses asked for are those of the marks."""
    from selenium.webdriver import Keys

    shown(browser, written, 1400, "light")
    browser.execute_script("window.asked = []; window.open = (...all) => asked.push(all)")
    marks = browser.execute_script(NAMED, "The gauge kappa")
    point(browser, "click", *marks[0][:2])
    assert browser.execute_script("return asked") == []  # of a file: nothing to open
    browser.execute_script("document.body.dataset.mlflow = 'http://127.0.0.1:9/mlflow';"
                           "document.querySelectorAll('use').forEach((u, k) => u.dataset.run = `1/runs/${k}`)")
    svg = browser.switch_to.active_element
    browser.execute_script("arguments[0].focus()", svg)
    said = []
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ENTER):
        svg.send_keys(key)
        said.append(browser.execute_script(TIP)[0].partition("\n")[0])
    assert len(set(said)) == 2 and said[1] == said[2]
    point(browser, "click", *marks[3][:2])
    runs = browser.execute_script(
        "return [...document.activeElement.querySelectorAll('use')].filter(u => u.said).map(u => u.dataset.run)")
    first = next(k for k, mark in enumerate(marks) if mark[2].partition("\n")[0] == said[2])
    asked = [f"http://127.0.0.1:9/mlflow/#/experiments/{runs[k]}" for k in (first, 3)]
    assert [call[0] for call in browser.execute_script("return asked")] == asked


def test_a_table_on_a_phone_keeps_its_first_column_and_shows_that_there_is_more(browser, written):
    shown(browser, written, 360, "light")
    found = browser.execute_script(TABLES)
    assert len(found) >= 6
    for name, hidden, stays, share, reached, background, tabindex in found:
        assert hidden and stays and reached and share < 0.5, (name, share)
        assert background == "local, scroll" and tabindex == 0, name  # the shade at the edge until its end is reached
