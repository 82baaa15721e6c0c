"""The review page on a large image, in headless Chromium.

  python -m tests.bench.review --write
  python -m tests.bench.review --side 1024 --beads 300 --shots DIR

A completed folder of one image, half of its beads proposed, is served by `beadseg
review` and opened. Measured in the page itself, to the frame after the one that was
drawn: from the address to the first picture and to all outlines in full resolution;
from each key to what it does, through the server where that decides; and the frames
while the view is dragged. Then the folder of a prediction of as many beads is
corrected: of each click and slider the processor time of the server, and of the main
thread of the page, until it is shown. Needs Chromium, and the packages of the tests.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import tifffile
from playwright.sync_api import Page, sync_playwright
from scipy.ndimage import gaussian_filter

from beadseg.data.cache import hash_file
from beadseg.partial.completed import FOLDERS, write_labels
from beadseg.partial.review.annotation_log import AnnotationLog
from beadseg.partial.review.derived import saving
from tests.bench.record import keep
from tests.partial.conftest import CHROMIUM, FLAGS
from tests.partial.test_review import Server

# Runs before the page. `dirty`, `levels` and `version` are the page's own.
WATCH = """
  window.shown = (until, from, then) => {
    const look = () => until() && !dirty
      ? requestAnimationFrame(() => then(performance.now() - from))
      : requestAnimationFrame(look);
    requestAnimationFrame(look);
  };
  window.shown(() => typeof levels !== "undefined" && levels.length && view.scale !== 1,
    0, (ms) => { window.firstPicture = ms; });
  addEventListener("keydown", (event) => {
    const before = version, wait = window.awaited;
    window.shown(() => !wait || version !== before, event.timeStamp,
      (ms) => { window.took = ms; });
  }, true);
"""
# What is measured: key, whether the server has its say first.
KEYS = {
    "next": ("n", False),
    "accept": ("a", False),
    "reject": ("r", False),
    "undo": ("z", True),
    "redo": ("Z", True),
    "zoom out": ("-", False),
    "zoom in": ("+", False),
    "whole image": ("0", False),
    "next, from the whole image": ("n", False),
    "move": ("ArrowRight", False),
    "outlines off": ("h", False),
    "outlines on": ("h", False),
    "brighter": ("i", False),
}


def draw(
    side: int, beads: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Touching discs in rows, with noise.

    Returns:
      u16[side, side] and the beads i32[side, side], 1..N; their centres f[N, 2].
    """
    rng = np.random.default_rng(seed)
    across = int(np.ceil(np.sqrt(beads)))
    pitch = side / across
    labels, centres = np.zeros((side, side), np.int32), []
    image = rng.normal(2000, 200, (side, side)).astype(np.float32)
    for number in range(1, beads + 1):
        y, x = (pitch * (0.5 + v) for v in divmod(number - 1, across))
        radius = pitch * rng.uniform(0.36, 0.49)
        top, left = max(int(y - radius), 0), max(int(x - radius), 0)
        box = slice(top, int(y + radius) + 2), slice(left, int(x + radius) + 2)
        rows, columns = np.mgrid[box]
        height = 1 - ((rows - y) ** 2 + (columns - x) ** 2) / radius**2
        disc = height > 0
        rows, columns = rows[disc], columns[disc]
        inside = (rows < side) & (columns < side)
        at, height = (rows[inside], columns[inside]), height[disc][inside]
        image[at] += rng.uniform(5000, 9000) * np.sqrt(height)
        labels[at] = number
        centres.append((y, x))
    return image.clip(0).astype(np.uint16), labels, np.array(centres)


def make(folder: Path, side: int, beads: int) -> None:
    """A completed folder of one image; every second bead is a proposal."""
    for kind in FOLDERS:
        (folder / kind).mkdir(parents=True)
    image, labels, _ = draw(side, beads)
    rng = np.random.default_rng(1)
    scores = {str(n): round(float(rng.beta(6, 1)), 4) for n in range(1, beads + 1, 2)}
    odd = labels % 2 == 1
    tifffile.imwrite(folder / "images" / "a.tif", image)
    write_labels(folder / "person" / "a.tif", np.where(odd, 0, labels))
    write_labels(folder / "proposals" / "a.tif", np.where(odd, labels, 0))
    about = {
        "image": "a.tif",
        "image_digest": hash_file(folder / "images" / "a.tif"),
        "run": "runs/bench",
        "beads": {n: {"score": s, "reason": "bench"} for n, s in scores.items()},
    }
    (folder / "proposals" / "a.json").write_text(json.dumps(about))
    saving(AnnotationLog(folder, "a"))()  # as beadseg complete does


def predicted(folder: Path, side: int, beads: int) -> np.ndarray:
    """A prediction folder of one image; centres f[N, 2] of beads that it misses."""
    image, labels, centres = draw(side, beads)
    missed = np.arange(40, beads + 1, max(beads // 12, 1))
    labels[np.isin(labels, missed)] = 0
    for kind, array in (("images", image), ("labels", labels)):
        (folder / kind).mkdir(parents=True)
        tifffile.imwrite(folder / kind / "a.tif", array)
    given = [str(folder / "labels"), str(folder / "images"), "-o", str(folder / "out")]
    command = [sys.executable, "-m", "beadseg.cli", "measure", *given, "--no-report"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    soft = gaussian_filter((labels > 0).astype(np.float32), 2)
    (folder / "out" / "probability").mkdir()
    tifffile.imwrite(folder / "out" / "probability" / "a.tif", soft)
    return centres[missed - 1]


def processor_ms(process: int) -> float:
    """Processor time of a process so far, all its threads."""
    stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")


def corrected(server: Server, missed: np.ndarray) -> dict[str, dict[str, list[float]]]:
    """Processor ms of the server and of the page for each correction, in order."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        size = {"width": 1600, "height": 1000}
        page = browser.new_page(viewport=size, bypass_csp=True)
        tools = page.context.new_cdp_session(page)
        tools.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(server.address)
        page.wait_for_selector("body[data-ready=a]")
        page.wait_for_timeout(5000)  # what the server prepares is done

        def spent() -> np.ndarray:
            told = tools.send("Performance.getMetrics")["metrics"]
            busy = next(m["value"] for m in told if m["name"] == "TaskDuration")
            return np.array([processor_ms(server.process.pid), 1000 * busy])

        def cost(act: Callable[[], None], shown: str) -> np.ndarray:
            before = spent()
            act()
            page.wait_for_function(shown)
            page.evaluate("() => new Promise(requestAnimationFrame)")
            page.evaluate("() => new Promise(requestAnimationFrame)")
            return spent() - before

        def decided(act: Callable[[], None]) -> np.ndarray:
            version = page.evaluate("version")
            took = cost(act, f"version > {version} && !waiting && !dirty")
            while saved() <= version:  # masks are written, and decisions counted
                page.wait_for_timeout(200)
            return took

        def saved() -> int:
            file = server.folder / "provenance" / "a.json"
            return json.loads(file.read_text())["decisions"] if file.exists() else 0

        def add(y: float, x: float) -> None:
            place = f"(({x} + 0.5) - view.x) * view.scale, (({y} + 0.5) - view.y)"
            at = page.evaluate(f"[{place} * view.scale]")
            box = page.locator("#canvas").bounding_box()
            page.mouse.click(box["x"] + at[0], box["y"] + at[1])

        def slide(name: str, value: float) -> None:
            page.evaluate(
                "([id, value]) => { const s = document.getElementById(id);"
                " s.value = value; s.dispatchEvent(new Event('input')); }",
                [name, value],
            )

        page.keyboard.press("f")
        costs = {
            "add": [decided(partial(add, *at)) for at in missed[:5].tolist()],
        }
        add(*missed[0])  # chooses the bead that is there now
        costs |= {
            "delete": [decided(lambda: page.keyboard.press("Delete"))],
            "undo": [decided(lambda: page.keyboard.press("z")) for _ in range(3)],
        }
        sliders = {
            "least-score": (0.2, 0.5, 0.0),
            "least-diameter": (30, 60, 0),
            "threshold": (60, 70, 40),
        }
        for name, values in sliders.items():
            costs[name] = []
            for value in values:
                shown = "!dirty"
                if name == "threshold":
                    shown += f" && document.body.dataset.redrawn == {value}"
                moved = partial(slide, name, value)
                costs[name].append(cost(moved, shown))
        browser.close()
    return {
        name: {
            "server": [round(float(server)) for server, _ in rows],
            "page": [round(float(main)) for _, main in rows],
        }
        for name, rows in costs.items()
    }


def press(page: Page, key: str, through_server: bool) -> float:
    """Milliseconds from a key to the frame after the one that shows its effect."""
    page.evaluate(
        "(wait) => { window.took = null; window.awaited = wait; }", through_server
    )
    page.keyboard.press(key)
    page.wait_for_function("window.took !== null")
    took = page.evaluate("window.took")
    page.wait_for_function("!waiting")  # decisions do not queue up
    return took


def dragged(page: Page) -> dict[str, float]:
    """Time between frames while the image is dragged, zoomed in, for two seconds."""
    page.keyboard.press("0")
    for _ in range(4):
        page.keyboard.press("+")
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate(
        """() => {
          window.frames = []; let before = performance.now();
          const on = (now) => { window.frames.push(now - before); before = now;
            window.framing = requestAnimationFrame(on); };
          requestAnimationFrame(on);
        }"""
    )
    page.keyboard.down("Space")
    page.mouse.move(x, y)
    page.mouse.down()
    for i in range(120):
        turn = 2 * np.pi * i / 60
        page.mouse.move(x + 150 * np.sin(turn), y + 150 * np.cos(turn) - 150)
    page.mouse.up()
    page.keyboard.up("Space")
    times = page.evaluate("(cancelAnimationFrame(window.framing), window.frames)")[2:]
    return {
        "median_ms": round(statistics.median(times), 1),
        "slowest_of_20_ms": round(float(np.quantile(times, 0.95)), 1),
    }


def measure(address: str, repeats: int, shots: Path | None) -> dict:
    """Opens the page and goes through all keys `repeats` times."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        size = {"width": 1600, "height": 1000}
        page = browser.new_page(viewport=size, bypass_csp=True)  # to wait by script
        page.add_init_script(WATCH)
        page.goto(address)
        page.wait_for_selector("body[data-ready=a]")
        page.wait_for_function("window.firstPicture")
        first = page.evaluate("window.firstPicture")
        ready = page.evaluate("performance.now()")
        keys = {name: [] for name in KEYS}
        for _ in range(repeats):
            for name, (key, through_server) in KEYS.items():
                keys[name].append(press(page, key, through_server))
        found = {
            "first_picture_seconds": round(first / 1000, 2),
            "all_seconds": round(ready / 1000, 2),
            "key_ms": {
                name: {
                    "median": round(statistics.median(times), 1),
                    "longest": round(max(times), 1),
                }
                for name, times in keys.items()
            },
            "drag": dragged(page),
        }
        page.keyboard.press("0")
        found["accept_all_in_view_ms"] = round(press(page, "A", False), 1)
        if shots:
            shots.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=shots / "whole.png")
            page.keyboard.press("n")
            page.wait_for_timeout(500)
            page.screenshot(path=shots / "near.png")
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=4096, help="px (4096)")
    parser.add_argument("--beads", type=int, default=3000, help="in the image (3000)")
    parser.add_argument("--repeats", type=int, default=5, help="of each key (5)")
    parser.add_argument("--shots", type=Path, help="folder for screenshots")
    parser.add_argument("--write", action="store_true", help="keep in results/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder, "new"), options.side, options.beads)
        server = Server(Path(folder, "new"))
        try:
            found = measure(server.address, options.repeats, options.shots)
        finally:
            server.stop()
        missed = predicted(Path(folder, "found"), options.side, options.beads)
        server = Server(Path(folder, "found", "out"))
        try:
            found["correction_processor_ms"] = corrected(server, missed)
        finally:
            server.stop()
    found = {"side": options.side, "beads": options.beads} | found
    group = Path("/proc/self/autogroup")  # of the scheduler: nice in it says little
    found["priority"] = group.read_text().strip() if group.exists() else None
    print(json.dumps(found, indent=1))
    if options.write:
        keep("review", found)


if __name__ == "__main__":
    main()
