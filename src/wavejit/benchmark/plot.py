"""The roofline as a picture: multiply-adds a second that the machine allows, and where the model stands below it."""

from __future__ import annotations

import io
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wavejit.audio.storage import replace_file
from wavejit.benchmark.limits import Limits
from wavejit.benchmark.measure import Measurement
from wavejit.errors import InputError
from wavejit.ir.formats import FORMATS, PRECISIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg")
SIZE, DPI = (6.4, 3.8), 160  # in inches, and dots an inch
BLACK, GREY, PALE = "0.1", "0.45", "0.88"
LABEL_HEIGHT = 10.0  # points between the middles of two labels
SAME_COLUMN = 1.3  # intensities less than this apart have their labels below one another
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"))

Point = tuple[Measurement, Limits]


def check_plot(file: str) -> None:
    """Refuse what could not be drawn, before anything is measured.

    Raises:
        InputError: the suffix is not one of `SUFFIXES`, the folder is missing, or matplotlib is.
    """
    path = Path(file)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{file!r}: suffix is {path.suffix!r}, expected {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise InputError(f"{file!r} cannot be written: there is no folder {str(path.parent)!r}")
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise InputError('--plot needs matplotlib, which is not installed: pip install "wavejit[bench]"') from None


def draw_roofline(points: Sequence[Point], file: str) -> None:
    """Draw one model's roofline, a point for each measurement, as PNG or SVG.

    A diagonal is a speed of reading, measured for the weights' bytes; a horizontal line a speed of multiply-adds.
    Formats whose weights lie in one level of cache share a diagonal, those that multiply alike a horizontal line:
    medians of what was measured for each.

    Args:
        points: of one model on one machine, in the formats that are to be seen.
        file: what `check_plot` let pass; replaced when the picture is complete.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Text stays text in SVG, and one picture is one sequence of bytes.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "wavejit", "font.size": 8.0}):
        figure = Figure(SIZE, layout="constrained")
        FigureCanvasAgg(figure)  # no window, and no state shared with the caller's figures
        axes: Axes = figure.subplots()
        _frame(axes, points)
        figure.canvas.draw()  # from here on it is known where a place of the axes lies on paper
        _roofs(axes, points)
        _points(axes, points)
        made = io.BytesIO()
        suffix = Path(file).suffix.lower()
        metadata = {"Date": None} if suffix == ".svg" else None
        figure.savefig(made, format=suffix[1:], dpi=DPI, metadata=metadata)
    replace_file(file, made.getvalue())


def _frame(axes: Axes, points: Sequence[Point]) -> None:
    """Axes wide enough for the points and for where the roofs bend."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    found, _ = points[0]
    intensities = [limits.multiply_adds_per_byte for _, limits in points]
    bends = [limits.multiply_adds_per_second / limits.bytes_per_second for _, limits in points]
    speeds = [_speed(point) for point in points]
    roofs = [limits.multiply_adds_per_second for _, limits in points]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(min(*intensities, *bends) / 2.5, max(*intensities, *bends) * 4)
    axes.set_ylim(min(speeds) / 3, max(roofs) * 2.2)
    axes.set_xlabel("multiply-adds for each byte of weights")
    pruned = f", {found.sparsity:.0%} zeros" if found.sparsity else ""
    threads, streams = _counted(found.threads, "thread"), _counted(found.streams, "stream")
    axes.set_title(
        f"{found.model}{pruned}: multiply-adds a second on {found.target}, {threads}, {streams}", loc="left", fontsize=9
    )
    note = "beside a point: format of the weights, share of the ceiling"
    axes.text(1, 0.02, note, color=GREY, ha="right", va="bottom", transform=axes.transAxes)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(LogLocator(base=2, numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}" if value >= 1 else f"1/{1 / value:g}"))
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5), numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(color=PALE, linewidth=0.5)
    axes.set_axisbelow(True)


def _roofs(axes: Axes, points: Sequence[Point]) -> None:
    """A diagonal for each level of cache, a horizontal line for each way to multiply."""
    (left, right), (bottom, _) = axes.get_xlim(), axes.get_ylim()
    bandwidths = _medians(points, _read_from, lambda limits: limits.bytes_per_second)
    products = _medians(points, _multiplied_as, lambda limits: limits.multiply_adds_per_second)
    top, fastest = max(products.values()), max(bandwidths.values())
    for name, speed in bandwidths.items():
        axes.plot([left, top / speed], [left * speed, top], color=GREY, linewidth=1)
        start = 1.2 * max(left, bottom / speed)
        (x0, y0), (x1, y1) = axes.transData.transform([(start, start * speed), (2 * start, 2 * start * speed)])
        axes.annotate(
            f"{name} {speed / 1e9:.0f} GB/s",
            (start, start * speed),
            (0, 3),
            textcoords="offset points",
            color=GREY,
            rotation=math.degrees(math.atan2(y1 - y0, x1 - x0)),
            rotation_mode="anchor",
        )
    for speed in products.values():
        axes.plot([speed / fastest, right], [speed, speed], color=GREY, linewidth=1)
    labels = {f"{name} {_short(speed)}/s": (right, speed) for name, speed in products.items()}
    _labels(axes, labels, shift=(0, 6), color=GREY, ha="right")


def _points(axes: Axes, points: Sequence[Point]) -> None:
    """Each point, its format and share beside it."""
    places = {
        f"{found.precision} {found.roofline_share:.2f}": (limits.multiply_adds_per_byte, _speed((found, limits)))
        for found, limits in points
    }
    for place in places.values():
        axes.plot(*place, "o", color=BLACK, markersize=4, zorder=3)
    column: dict[str, tuple[float, float]] = {}
    last = 0.0
    for label, at in sorted(places.items(), key=lambda item: item[1]):
        if at[0] > SAME_COLUMN * last and column:
            _labels(axes, column, shift=(9, 0), color=BLACK, ha="left")
            column = {}
        column[label], last = at, at[0]
    _labels(axes, column, shift=(9, 0), color=BLACK, ha="left")


def _labels(
    axes: Axes, places: Mapping[str, tuple[float, float]], shift: tuple[float, float], color: str, ha: str
) -> None:
    """Labels beside their places, by `shift` points, moved apart where they would touch: up if that is up, or down."""
    points_a_pixel, way = 72 / axes.figure.dpi, 1 if shift[1] > 0 else -1
    heights = {label: float(axes.transData.transform(at)[1]) * points_a_pixel for label, at in places.items()}
    last = -math.inf
    for label in sorted(heights, key=lambda label: way * heights[label]):
        last = max(way * (heights[label] + shift[1]), last + LABEL_HEIGHT)
        place = (shift[0], way * last - heights[label])
        axes.annotate(
            label,
            places[label],
            place,
            textcoords="offset points",
            color=color,
            va="center",
            ha=ha,
            zorder=2.5,  # above lines, which its background interrupts, and below points
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )


def _speed(point: Point) -> float:
    """Multiply-adds a second that were reached."""
    found, limits = point
    return found.samples_per_second * limits.multiply_adds


def _read_from(point: Point) -> str:
    """What a diagonal is named by: the level of cache, or the format where levels are not known."""
    found, limits = point
    return limits.level or found.precision


def _multiplied_as(point: Point) -> str:
    """What a horizontal line is named by: the format of the inputs, which weights are multiplied as."""
    found, _ = point
    inputs: dict[str, str] = {name: FORMATS[name].inputs for name in PRECISIONS}
    return inputs[found.precision]


def _medians(
    points: Sequence[Point], name: Callable[[Point], str], value: Callable[[Limits], float]
) -> dict[str, float]:
    """The median of a figure over the points of each name."""
    names = dict.fromkeys(map(name, points))
    return {one: statistics.median(value(point[1]) for point in points if name(point) == one) for one in names}


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count > 1 else ''}"


def _short(value: float) -> str:
    """A number in thousands of millions and so on: 50 G."""
    size, prefix = next((pair for pair in PREFIXES if value >= pair[0]), (1.0, ""))
    return f"{value / size:.3g} {prefix}".strip()
