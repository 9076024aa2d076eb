"""The suite of benchmarks on one machine, twice, beside every peer: records, page, figures, and what two runs agree on.

    python experiments/benchmark/study.py --environments DIR             # both runs, about 90 minutes on 2 cores
    python experiments/benchmark/study.py --summarise                    # page and summary of what is recorded

`jaxcnn bench peers` tells how the environments in DIR are made. Each command's records go into `run1.jsonl` as it
ends: the script can be stopped and started again. The second run repeats the commands that give ratios. Those
measure by several processes, one after another, and give intervals over them: see `--starts`.
"""

import json
import math
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from jaxcnn import benchmark

HERE = Path(__file__).parent
RATIOS = (
    "train lenet5 --input 28x28x1 --peers all",
    "train small_cnn --steps 2 --peers all",
    "train resnet9 --batch 32 --steps 2 --peers all",
    "train resnet9 --batch 32 --steps 2 --dtype bfloat16 --peers all",
    "infer resnet9 --batch 32 --peers all",
    "epoch lenet5 --input 28x28x1 --batch 32",
    "epoch small_cnn --batch 32",
    "ensemble lenet5 --input 28x28x1 --batch 32",
    "scale small_cnn --batch 64",
    "data",
)
"""Commands that compare works in turns."""
OTHERS = (
    "peak",
    "conv --roofline",
    "conv --roofline --dtype bfloat16",
    "pool --roofline",
    "train resnet9 --batch 32 --steps 2 --roofline",
    "train resnet9 --batch 32 --steps 2 --roofline --dtype bfloat16",
    "train small_cnn --steps 2 --growth batch=1,2,4,8,16,32,64,128,256,512",
    "train small_cnn --steps 2 --batch 32 --growth width=8,16,32,64,128",
    "train small_cnn --steps 2 --batch 8 --growth side=16,32,64,112,224",
    "train mlp --steps 2 --input 28x28x1 --model.width 512 --growth depth=1,2,4,8,16",
    "ensemble lenet5 --input 28x28x1 --batch 32 --growth members=1,2,4,8,16",
    "startup",
)


GATED = ("train", "infer", "epoch", "ensemble")
"""Works whose ratios are to stay: ours to peers', one program to steps one by one, vmap to networks one by one."""


@dataclass(frozen=True)
class Arguments:
    """Measure what is not recorded yet, and summarise all."""

    environments: str | None = None
    """Folder of the peers' environments (default: that of `jaxcnn bench`)."""
    seconds: float = 1.0
    """For each work, about."""
    starts: int = 4
    """Of the commands that give ratios."""
    summarise: bool = False
    """Measure nothing."""


def main(arguments: Arguments) -> None:
    """Run both suites, one after the other."""
    files = [HERE / f"run{number}.jsonl" for number in (1, 2)]
    if not arguments.summarise:
        for file, commands in zip(files, ((*OTHERS, *RATIOS), RATIOS), strict=True):
            for command in commands:
                measure(command, file, arguments)
    first, second = (benchmark.read(file) for file in files)
    benchmark.write_page(first, HERE)
    agreed = agreement(first, second)
    (HERE / "agreement.json").write_text(json.dumps(agreed, indent=1) + "\n")
    (HERE / "gate.json").write_text(json.dumps(gate(agreed["rows"]), indent=1) + "\n")
    rows = agreed["rows"]
    print(f"{sum(row['overlap'] for row in rows)} of {len(rows)} ratios' intervals overlap between two runs")
    print(peers_table(first))


def measure(command: str, file: Path, arguments: Arguments) -> None:
    """Run a command, unless the file holds its records."""
    starts = ["--starts", str(arguments.starts)] if command in RATIOS else []
    asked = ["bench", *shlex.split(command), "--seconds", f"{arguments.seconds:g}", *starts, "--record", file.name]
    told = " ".join(asked[: asked.index("--record")])
    if file.exists() and any(
        record["environment"]["command"].startswith(f"jaxcnn {told} ") for record in benchmark.read(file)
    ):
        return
    if "--peers" in asked and arguments.environments:
        asked += ["--environments", arguments.environments]
    start = time.perf_counter()
    subprocess.run(["jaxcnn", *asked], check=True, stdout=subprocess.DEVNULL, cwd=HERE)
    print(f"{time.perf_counter() - start:4.0f} s  jaxcnn {told}", flush=True)


def agreement(first: list[dict], second: list[dict]) -> dict:
    """Compare the ratios that both runs hold: each command's first work against the others of its turns."""
    one, other = (benchmark.ratios_of(_first_of_each(records)) for records in (first, second))
    rows = [
        {
            "ratio": name,
            "first": [one[name].median, one[name].low, one[name].high],
            "second": [other[name].median, other[name].low, other[name].high],
            "overlap": one[name].low <= other[name].high and other[name].low <= one[name].high,
        }
        for name in one
        if name in other
    ]
    return {
        "commands": [f"jaxcnn bench {command}" for command in RATIOS],
        "overlap": sum(row["overlap"] for row in rows) / len(rows),
        "farthest": max(abs(math.log(row["first"][0] / row["second"][0])) for row in rows),
        "rows": rows,
    }


def gate(rows: list[dict]) -> dict[str, float]:
    """Return bounds for `jaxcnn bench --gate`: nine tenths of the lower end that both runs' intervals have."""
    lows = {row["ratio"]: min(row["first"][1], row["second"][1]) for row in rows}
    return {name: round(0.9 * low, 2) for name, low in lows.items() if name.split()[0] in GATED}


def _first_of_each(records: list[dict]) -> list[dict]:
    found: dict[str, dict] = {}
    for record in records:
        found.setdefault(record["environment"]["command"], record)
    return list(found.values())


def peers_table(records: list[dict]) -> str:
    """Return a Markdown table: how many times as long every peer takes."""
    names = list(benchmark.PEERS)
    lines = ["| | jaxcnn | " + " | ".join(benchmark.PEERS[name].title for name in names) + " |"]
    lines.append("|---" * (len(names) + 2) + "|")
    for record in records:
        if names[0] in record["ratios"] and record["library"] == "jaxcnn":
            rate = record["rates"]["images_per_s"]["median"]
            cells = [benchmark.interval_text(record["ratios"][name]) for name in names]
            lines.append(f"| {benchmark.title(record)} | {rate:,.0f} images/s | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
