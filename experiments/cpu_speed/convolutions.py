"""How fast single convolutions are on a CPU: jaxcnn against PyTorch's aten calls, whole processes in alternation.

    python experiments/cpu_speed/convolutions.py --torch-python PATH/TO/python --out convolutions.json

Twelve shapes, each forward and both gradients, in float32 and bfloat16. First the results of both sides are compared.
Then, in each round, one process of ours and one of PyTorch time all cases; a process gives the median of a case's
calls, a round the ratio theirs / ours (above 1: ours is faster), a case the median of its rounds. The peer
`torch-malloc` has the settings of malloc that ours makes. Rounds go to the `.jsonl` beside `--out`; those that are
there are not run again.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import records
import tyro
from conv_cases import CASES, DIRECTIONS

LOOSE = {"float32": 1e-5, "bfloat16": 1e-2}
"""How far two fingerprints may be apart, of the result's norm."""


@dataclass(frozen=True)
class Arguments:
    """Time single convolutions of ours and of PyTorch, in alternating processes."""

    out: Path
    """JSON file of the summary; the rounds go to a `.jsonl` beside it."""
    torch_python: Path
    """Interpreter that has PyTorch."""
    cases: tuple[str, ...] = tuple(CASES)
    """Shapes."""
    dtypes: tuple[str, ...] = tuple(LOOSE)
    """Types of input and kernel."""
    peers: tuple[str, ...] = ("torch", "torch-malloc")
    """PyTorch as installed, and with our settings of malloc."""
    rounds: int = 5
    """Pairs of processes for each peer."""
    seconds: float = 0.2
    """Time spent on a case in a process."""
    seed: int = 0
    """Draws the arrays."""
    any_commit: bool = False
    """Count recorded rounds of other commits as well."""


def start(side: str, arguments: Arguments, **flags: Any) -> dict[str, Any]:
    """Run one process of a peer, or of `ours`."""
    cases = [[c, dtype, d] for dtype in arguments.dtypes for c in arguments.cases for d in DIRECTIONS]
    python, script = (sys.executable, "conv_ours.py") if side == "ours" else (arguments.torch_python, "conv_torch.py")
    environment = records.SAME_MALLOC if side == "torch-malloc" else {}
    flags = {"cases": json.dumps(cases), "seconds": arguments.seconds, "seed": arguments.seed, **flags}
    return records.launch(str(python), script, environment=environment, **flags)


def check(arguments: Arguments) -> None:
    """Raise where the two sides do not compute the same."""
    ours, theirs = (start(side, arguments, check=1)["results"] for side in ("ours", "torch"))
    for case, values in ours.items():
        a, b = np.array(values), np.array(theirs[case])
        norm, bound = a[-4], LOOSE[case.split(", ")[1]]
        if a.shape != b.shape or not np.array_equal(a[:-4], b[:-4]) or not np.abs(a - b).max() <= bound * norm:
            raise ValueError(f"{case}: PyTorch computes something else: {theirs[case]} for {values}")
    print(f"{len(ours)} cases agree", flush=True)


def measure(key: dict[str, Any], arguments: Arguments) -> dict[str, Any]:
    """Run one process of ours and one of the peer; return the record."""
    peer, stamp = key["peer"], records.stamp()
    sides = {side: start(side, arguments) for side in records.in_turn("ours", peer, key["round"])}
    return {**key, **stamp, "ours": sides["ours"], "theirs": sides[peer]}


def summarise(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return, for each peer, the ratio of every case, their geometric mean and the least."""
    summary: dict[str, Any] = {}
    for peer in dict.fromkeys(line["peer"] for line in lines):
        rounds = [(line["ours"]["results"], line["theirs"]["results"]) for line in lines if line["peer"] == peer]
        cases = {
            case: {
                "ratio": records.spread(theirs[case] / ours[case] for ours, theirs in rounds),
                "ours_ms": float(np.median([ours[case] for ours, _ in rounds])),
                "theirs_ms": float(np.median([theirs[case] for _, theirs in rounds])),
            }
            for case in rounds[0][0]
        }
        medians = {case: row["ratio"]["median"] for case, row in cases.items()}
        least = min(medians, key=lambda case: medians[case])
        parts = dict.fromkeys(part for case in medians for part in case.split(", ")[1:])
        summary[peer] = {
            "geometric_mean": round(records.geometric_mean(medians.values()), 3),
            "least": {least: medians[least]},
            "geometric_mean_of": {
                part: round(records.geometric_mean(r for case, r in medians.items() if f", {part}" in case), 3)
                for part in parts
            },
            "cases": cases,
        }
    return summary


def main(arguments: Arguments) -> None:
    """Check, run the rounds that are not recorded, and summarise."""
    lines = arguments.out.with_suffix(".jsonl")
    settled = {
        "cases": list(arguments.cases),
        "dtypes": list(arguments.dtypes),
        "seconds": arguments.seconds,
        "seed": arguments.seed,
        "lowering_asked": os.environ.get("JAXCNN_LOWERING", "auto"),
        **records.counted_commit(arguments.any_commit),
    }
    keys = [{"peer": peer, "round": n, **settled} for n in range(arguments.rounds) for peer in arguments.peers]
    done = {records.identity(line, keys[0]): line for line in records.read(lines)}
    missing = [key for key in keys if records.identity(key, key) not in done]
    if missing:
        check(arguments)
    for key in missing:
        record = done[records.identity(key, key)] = measure(key, arguments)
        records.append(lines, record)
        mean = summarise([record])[key["peer"]]["geometric_mean"]
        print(f"round {key['round']}: {key['peer']} / ours {mean:.2f}, geometric mean", flush=True)
    counted = [done[records.identity(key, key)] for key in keys]
    summary = summarise(counted)
    arguments.out.write_text(json.dumps(records.about(counted) | settled | {"summary": summary}, indent=1) + "\n")
    for peer, found in summary.items():
        for case, row in found["cases"].items():
            ratio = row["ratio"]
            print(
                f"{peer:<14}{case:<36}ours {row['ours_ms']:9.2f} ms, theirs {row['theirs_ms']:9.2f}: "
                f"{ratio['median']:6.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"
            )
        print(f"{peer}: geometric mean {found['geometric_mean']}, {found['geometric_mean_of']}, least {found['least']}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
