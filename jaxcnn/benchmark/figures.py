"""Figures of records: works under the roof, growth with a size, speed on several devices, ratios to peers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxcnn.benchmark.growth import growth_of, size_of

Record = Mapping[str, Any]
DPI = 110


def draw_roofline(records: Sequence[Record], path: Path) -> None:
    """Draw works between the two peaks of their device: arithmetic intensity against speed, both logarithmic.

    Args:
        records: With a `roofline`, at least one.
        path: Of the PNG.
    """
    axes = _axes(7.5, 5)
    roofs = {record["work"]["dtype"]: record["roofline"] for record in records}
    found = np.array([record["roofline"]["intensity"] for record in records])
    span = np.geomspace(found.min() / 2, found.max() * 2, 200)
    groups = dict.fromkeys((record["work"]["name"], record["work"]["dtype"]) for record in records)
    for number, (dtype, place) in enumerate(roofs.items()):
        roof = np.minimum(place["peak_flops_per_s"], span * place["peak_bytes_per_s"]) / 1e9
        axes.plot(span, roof, color=f"C{number}", label=f"roof, {dtype}")
    for number, (name, dtype) in enumerate(groups):
        places = [r["roofline"] for r in records if (r["work"]["name"], r["work"]["dtype"]) == (name, dtype)]
        x, y = ([place[key] for place in places] for key in ("intensity", "flops_per_s"))
        colour = f"C{list(roofs).index(dtype)}"
        marker = "osD^vP*"[number % 7]
        axes.scatter(x, np.array(y) / 1e9, marker=marker, color=colour, s=26, label=f"{name}, {dtype}", alpha=0.8)
    axes.set(xscale="log", yscale="log", xlabel="FLOPs per byte of inputs and outputs", ylabel="GFLOP/s")
    _plain(axes.xaxis)
    _plain(axes.yaxis)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    _save(axes, path)


def draw_growth(rows: Sequence[Sequence[Record]], path: Path) -> None:
    """Draw time against size for rows of records, each beside the line that its FLOPs would follow.

    Args:
        rows: Of at least two records each, that differ in one size.
        path: Of the PNG.
    """
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(rows), figsize=(3.4 * len(rows), 3.4), constrained_layout=True, squeeze=False)
    for axes, row in zip(panels[0], rows, strict=True):
        sizes = np.array([size_of(record) for record in row], float)
        times = np.array([record["seconds"]["median"] for record in row])
        flops = np.array([record["costs"]["flops"] for record in row], float)
        fitted = growth_of(row)
        axes.plot(sizes, times * 1e3, "o-", label=f"time: {fitted.exponent:.2f}")
        axes.plot(
            sizes, times[-1] * flops / flops[-1] * 1e3, "--", color="gray", label=f"FLOPs: {fitted.flops_exponent:.2f}"
        )
        work = row[0]["work"]
        axes.set(xscale="log", yscale="log", xlabel=row[0]["growth"], ylabel="ms a call")
        axes.set_title(f"{work['name']} {work.get('model', '')}", fontsize=9)
        _plain(axes.yaxis)
        axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, title="exponent", title_fontsize=8)
    figure.savefig(path, dpi=DPI)
    plt.close(figure)


def draw_scale(rows: Sequence[Sequence[Record]], path: Path) -> None:
    """Draw the speed of training on one, two ... devices, with its quartiles, beside the line of one device's.

    Args:
        rows: Records of `bench scale`, those of one command together.
        path: Of the PNG.
    """
    axes = _axes(5, 3.6)
    for number, row in enumerate(rows):
        devices = np.array([record["work"]["devices"] for record in row], float)
        rates = [record["rates"]["images_per_s"] for record in row]
        middle = np.array([rate["median"] for rate in rates])
        ends = np.abs(np.array([[rate["q1"], rate["q3"]] for rate in rates]).T - middle)
        work = row[0]["work"]
        label = f"{work['model']}, {'x'.join(map(str, work['shape']))}, {work['dtype']}"
        axes.errorbar(devices, middle, yerr=ends, fmt="o-", ms=4, lw=1, color=f"C{number}", label=label)
        axes.plot(devices, middle[0] * devices / devices[0], "--", lw=1, color=f"C{number}", alpha=0.5)
    counts = sorted({record["work"]["devices"] for row in rows for record in row})
    axes.set(xscale="log", yscale="log", xlabel="devices (dashed: as many times as fast)", ylabel="images/s")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    _plain(axes.yaxis)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    _save(axes, path)


def draw_peers(rows: Mapping[str, Mapping[str, Mapping[str, float]]], path: Path) -> None:
    """Draw how many times as long other libraries take, with their intervals.

    Args:
        rows: Ratios (`median`, `low`, `high`) by library, by work.
        path: Of the PNG.
    """
    libraries = list(dict.fromkeys(name for ratios in rows.values() for name in ratios))
    axes = _axes(8.5, 1.2 + 0.16 * len(libraries) * len(rows))
    for number, library in enumerate(libraries):
        there = [(place, ratios[library]) for place, ratios in enumerate(rows.values()) if library in ratios]
        y = [-place + 0.4 - 0.8 * (number + 0.5) / len(libraries) for place, _ in there]
        medians = np.array([value["median"] for _, value in there])
        ends = np.array([[value["low"], value["high"]] for _, value in there]).T
        axes.errorbar(medians, y, xerr=np.abs(ends - medians), fmt="o", ms=4, lw=1, color=f"C{number}", label=library)
    axes.axvline(1, color="black", lw=1)
    for place in range(len(rows) - 1):
        axes.axhline(-place - 0.5, color="gray", lw=0.5)
    axes.set(xscale="log", yticks=[-place for place in range(len(rows))], yticklabels=list(rows))
    axes.set_ylim(0.5 - len(rows), 0.5)
    axes.set_xlabel("time over jaxcnn's")
    _plain(axes.xaxis)
    axes.grid(axis="x", alpha=0.3, which="both")
    axes.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=min(len(libraries), 3), frameon=False)
    _save(axes, path)


def _plain(axis: Any) -> None:
    """Write numbers at 1, 2 and 5 times powers of ten, and not powers."""
    from matplotlib import ticker

    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def _axes(width: float, height: float) -> Any:
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(width, height), constrained_layout=True)[1]


def _save(axes: Any, path: Path) -> None:
    from matplotlib import pyplot as plt

    axes.figure.savefig(path, dpi=DPI)
    plt.close(axes.figure)
