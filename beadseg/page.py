"""One self-contained HTML page: text, tables, plots and pictures in a single file.

    page = Page("Evaluation", lead="212 of 230 beads found.")
    page.callout("good", "Masks are complete.")
    page.section("Counts")
    page.table(["image", "beads"], [["a.tif", 36], ["b.tif", 41]])
    with page.plot("Loss falls until epoch 20.") as axes:
        axes.plot(epochs, loss)
    page.picture(overlay, "Missed beads are outlined in red.")
    page.command("beadseg predict DIR --run RUN")
    page.write(Path("report.html"))

Every text is escaped; `like this` in backticks is set as code. Nothing is loaded from a
network. A page follows the reader's light or dark setting, fits a phone and prints.
"""

import base64
import html
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import cycler, rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image

from beadseg import __version__
from beadseg.files import open_whole, read_file, write_whole, writing

# Told apart by eyes that see few colours, and legible on white and on near-black.
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = COLOURS = (
    "#2f80d0",
    "#dd7a1a",
    "#1f9d74",
    "#d8485a",
    "#9a6fd0",
    "#7d8894",
)  # fmt: skip

_PLOT_STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "hatch.color": GREY,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "pdf.fonttype": 42,
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "beadseg",
}
_NUMBER = re.compile(
    r"[-+−±<>≈]?\s?\d[\d.,eE+−\-– ±]*(%|px|px²|µm|µm²|nm|s|min|h|x|×)?"
)
_NEAR = 150.0  # largest / smallest, up to which 2 and 5 stand beside the tens
_DASH = "–"
_LONG = 30  # letters: cells with more are given room
_STACKED = 20  # letters: rows with more in a cell are stacked on a phone
_CSS = Path(__file__).with_name("page.css")


def log_axis(axes: Any) -> None:
    """Makes the x axis a log one, with numbers at its ticks, not powers."""
    axes.set(xscale="log")
    low, high = axes.xaxis.get_view_interval()
    few = high / low < _NEAR
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


class Page:
    """Builds a page from top to bottom; `html()` or `write(file)` ends it."""

    def __init__(self, title: str, lead: str = ""):
        """`lead`: the one sentence to read if nothing else is."""
        self.title = title
        self._body: list[str] = []
        self._sections: list[str] = []
        self._figures = 0
        self._lead = lead

    def section(self, heading: str) -> None:
        """Begins a section; from four sections on, the page opens with a list."""
        self._sections.append(heading)
        self._add(f'<h2 id="s{len(self._sections)}">{_text(heading)}</h2>')

    def subsection(self, heading: str) -> None:
        """Begins a part of a section."""
        self._add(f"<h3>{_text(heading)}</h3>")

    def paragraph(self, text: str) -> None:
        """A paragraph of running text."""
        self._add(f"<p>{_text(text)}</p>")

    def items(self, texts: Sequence[str]) -> None:
        """A list of points."""
        lines = "".join(f"<li>{_text(text)}</li>" for text in texts)
        self._add(f"<ul>{lines}</ul>")

    def callout(self, kind: str, text: str, heading: str = "") -> None:
        """A box that is seen first. kind: "good", "warn", "bad" or "note"."""
        sign = {"good": "✓", "warn": "!", "bad": "✕", "note": "i"}[kind]
        bold = f"<strong>{_text(heading)}</strong> " if heading else ""
        self._add(
            f'<div class="callout {kind}"><span class="sign" aria-hidden="true">{sign}'
            f"</span><p>{bold}{_text(text)}</p></div>"
        )

    def numbers(self, numbers: Sequence[tuple[str, Any, str]]) -> None:
        """The few numbers that matter, set large: (what, number, remark)."""
        tiles = "".join(
            f"<div><dt>{_text(what)}</dt><dd><b>{_text(_cell(number))}</b>"
            f"<small>{_text(remark)}</small></dd></div>"
            for what, number, remark in numbers
        )
        self._add(f'<dl class="numbers">{tiles}</dl>')

    def table(
        self, header: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = ""
    ) -> None:
        """A table; columns of numbers (also "0.91 ± 0.02", "12 px") are set right.

        A float is written with 4 significant digits: give text where that is wrong.
        None and NaN are a dash. On a phone the cells of a row with long texts stand
        under each other, each with its column's name.
        """
        cells = [[_cell(value) for value in row] for row in rows]
        right = [_are_numbers(column) for column in zip(*cells, strict=True)]
        right = right or [False] * len(header)
        texts = (cell for row in cells for cell in row[1:])
        stacks = len(header) > 2 and any(len(text) > _STACKED for text in texts)
        top = _row("th", header, right, [' scope="col"'] * len(header))
        names = [f' data-of="{html.escape(str(name), quote=True)}"' for name in header]
        lines = "".join(
            _row("td", row, right, names if stacks else [""] * len(header))
            for row in cells
        )
        caption = f"<caption>{_text(caption)}</caption>" if caption else ""
        kind = ' class="stacks"' if stacks else ""
        self._add(
            f'<div class="wide"><table{kind}>{caption}<thead>{top}</thead>'
            f"<tbody>{lines}</tbody></table></div>"
        )

    @contextmanager
    def plot(
        self,
        caption: str,
        rows: int = 1,
        columns: int = 1,
        width: float = 7.0,
        height: float = 3.4,
        save: Path | None = None,
        **subplots: Any,
    ) -> Iterator[Any]:
        """A plot in the page's style, drawn in the `with` block on the axes it gives.

        Args:
          caption: what the plot shows.
          rows, columns: of axes; more than one give an array of axes.
          width, height: of the whole, in inches; 7 fill the page.
          save: also written there, with the endings .svg and .pdf.
          **subplots: for `Figure.subplots`, such as sharex.
        """
        with rc_context(_PLOT_STYLE):
            figure = Figure(figsize=(width, height))
            yield figure.subplots(rows, columns, **subplots)
            self.figure(figure, caption, save)

    def figure(self, figure: Figure, caption: str, save: Path | None = None) -> None:
        """A finished matplotlib figure, as SVG; what is black takes the text's colour.

        Draw pictures of pixels with `picture`: an image inside SVG is slow.
        """
        self._figures += 1
        whole = _svg(figure)
        if save is not None:
            write_whole(save.with_suffix(".svg"), whole)
            figure.set_layout_engine("none")  # it is laid out
            with open_whole(save.with_suffix(".pdf")) as file:
                figure.savefig(file, format="pdf", metadata={"CreationDate": None})
        svg = _inline(whole, f"f{self._figures}-", caption)
        self._add(f'<figure><div class="wide">{svg}</div>{_caption(caption)}</figure>')

    def legend(self, meanings: Sequence[tuple[Sequence[float], str]]) -> None:
        """What colours mean in the pictures that follow: (RGB from 0 to 1, what)."""
        marks = "".join(
            f'<li><i style="background:rgb({_rgb(colour)})"></i>{_text(what)}</li>'
            for colour, what in meanings
        )
        self._add(f'<ul class="legend">{marks}</ul>')

    def picture(self, image: np.ndarray | Path, caption: str) -> None:
        """A picture.

        Args:
          image: uint8 or float (0..1) [H, W] or [H, W, 3]; or the path of a PNG.
          caption: what to see in it.
        """
        self._add(_picture(image, caption))

    def pictures(
        self, pictures: Sequence[tuple[np.ndarray | Path, str]], width: float = 10.0
    ) -> None:
        """Pictures with captions, side by side as the page's width allows.

        `width`: the least of a picture, in letters' heights: 10 makes rows of five on a
        desk and two on a phone, 20 rows of two and one.
        """
        grid = "".join(_picture(image, caption) for image, caption in pictures)
        self._add(f'<div class="grid" style="--least: {width:g}rem">{grid}</div>')

    def gallery(
        self, pictures: Sequence[tuple[bytes, str, str]], width: float = 10.0
    ) -> None:
        """JPEGs with captions, each a link: (content, caption, address); see above."""
        grid = "".join(
            f'<a href="{html.escape(to, quote=True)}">{_picture(jpeg, caption)}</a>'
            for jpeg, caption, to in pictures
        )
        self._add(f'<div class="grid" style="--least: {width:g}rem">{grid}</div>')

    def command(self, command: str) -> None:
        """What to type, in a block of its own."""
        self._add(f"<pre><code>{html.escape(command)}</code></pre>")

    def html(self) -> str:
        """The whole page."""
        lead = f'<p class="lead">{_text(self._lead)}</p>' if self._lead else ""
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f'<link rel="icon" href="data:,">\n<title>{html.escape(self.title)}'
            f"</title>\n<style>\n{_CSS.read_text()}</style>\n</head>\n<body>\n<main>\n<header>"
            f"<h1>{_text(self.title)}</h1>{lead}</header>\n{self._contents()}"
            f"{''.join(self._body)}<footer>beadseg {__version__}</footer>\n"
            "</main>\n</body>\n</html>\n"
        )

    def write(self, file: str | os.PathLike, option: str = "--page") -> None:
        """Writes the page whole; `option` is what the user gives to write elsewhere.

        Raises:
          BeadsegError: the file cannot be written.
        """
        file = Path(file)
        with writing(file, option):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, self.html())

    def _add(self, markup: str) -> None:
        self._body.append(markup + "\n")

    def _contents(self) -> str:
        if len(self._sections) < 4:
            return ""
        links = "".join(
            f'<li><a href="#s{number}">{_text(heading)}</a></li>'
            for number, heading in enumerate(self._sections, 1)
        )
        return f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n'


def _text(text: Any) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(str(text)))


def _rgb(colour: Sequence[float]) -> str:
    return ", ".join(str(round(255 * part)) for part in colour)


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float | np.floating) and value != value):
        return _DASH
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    return str(value)


def _are_numbers(cells: Sequence[str]) -> bool:
    said = [cell for cell in cells if cell not in (_DASH, "")]
    return bool(said) and all(_NUMBER.fullmatch(cell) for cell in said)


def _row(
    tag: str, cells: Sequence[str], right: Sequence[bool], more: Sequence[str]
) -> str:
    kinds = [
        "number" if side else "long" if len(cell) > _LONG else ""
        for cell, side in zip(cells, right, strict=True)
    ]
    marks = [f' class="{kind}"' if kind else "" for kind in kinds]
    row = "".join(
        f"<{tag}{own}{mark}>{_text(cell)}</{tag}>"
        for cell, own, mark in zip(cells, more, marks, strict=True)
    )
    return f"<tr>{row}</tr>"


def _caption(caption: str) -> str:
    return f"<figcaption>{_text(caption)}</figcaption>" if caption else ""


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    with rc_context(_PLOT_STYLE):
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _inline(svg: str, prefix: str, label: str) -> str:
    """The <svg> element; ids get a prefix, for they must differ within a page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{prefix}", svg)
    svg = svg.replace("#000000", "currentColor")
    label = html.escape(label, quote=True)
    return svg.replace(
        "<svg", f'<svg fill="currentColor" role="img" aria-label="{label}"', 1
    )


def _picture(image: np.ndarray | Path | bytes, caption: str) -> str:
    form = "jpeg" if isinstance(image, bytes) else "png"
    if isinstance(image, Path | bytes):
        content = read_file(image) if isinstance(image, Path) else image
        with Image.open(io.BytesIO(content)) as opened:
            width, height = opened.size
    else:
        array = np.asarray(image)
        if array.dtype != np.uint8:
            array = np.round(np.clip(array, 0, 1) * 255).astype(np.uint8)
        height, width = array.shape[:2]
        file = io.BytesIO()
        Image.fromarray(array).save(file, "PNG", optimize=True)
        content = file.getvalue()
    kind = ' class="pixels"' if width < 256 else ""
    data = base64.b64encode(content).decode()
    return (
        f'<figure><img{kind} width="{width}" height="{height}" alt="'
        f'{html.escape(caption, quote=True)}" src="data:image/{form};base64,{data}">'
        f"{_caption(caption)}</figure>"
    )
