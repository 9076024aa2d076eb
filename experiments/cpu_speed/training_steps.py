"""How fast a training step is on a CPU: jaxcnn against PyTorch and stock Flax, whole processes in alternation.

    python experiments/cpu_speed/training_steps.py --torch-python PATH/TO/python --out training_steps.json

The interpreter at PATH has PyTorch 2.13 (`pip install torch==2.13.0`, CPU) and NumPy. First every peer is shown to
train the same network: as many parameters, the same logits (batch norm as in training) and the same losses over three
updates from the same parameters. Then, in each round and for each peer, one process of ours and one of the peer take
`warmup` and `steps` steps; which begins changes from round to round. A process gives the median of five chunks, a
round the ratio peer / ours (above 1: ours is faster), a peer the median of its rounds.

SGD with momentum and weight decay, cross-entropy, synthetic images. Records go line by line to the `.jsonl` beside
`--out`. A run that was stopped goes on where it was; rounds of another commit (but for `--any-commit`), lowering or
length are not counted. Run it on an idle machine: beside other work PyTorch's threads wait for each other, and lose
far more than ours; every record has the machine's load.

Peers: `torch` and `torch-compile` as installed; `torch-malloc` and `torch-compile-malloc` with the settings of malloc
that ours makes; `flax`, stock, a program a step; `outside`, ours without the loop; and, only when asked for,
`flax-loop`, one step of stock Flax in a compiled loop, which takes XLA 20 s for ResNet-9 at batch 16 (one round is
enough).
"""

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import records
import tyro
from problems import PROBLEMS

HERE = Path(__file__).parent
WORK = ("resnet9-float32", "resnet9-bfloat16", "lenet5-float32", "three_layer-float32")
PEERS = {
    "torch": ("torch_peer.py", "eager"),
    "torch-compile": ("torch_peer.py", "compile"),
    "torch-malloc": ("torch_peer.py", "eager"),
    "torch-compile-malloc": ("torch_peer.py", "compile"),
    "flax": ("flax_peer.py", "outside"),
    "flax-loop": ("flax_peer.py", "loop"),
    "outside": ("ours.py", "outside"),
}
BETTER = {
    "better torch": ("torch", "torch-compile"),
    "better torch-malloc": ("torch-malloc", "torch-compile-malloc"),
}
"""Of these the faster one counts."""
LOOSE = {"float32": (1e-4, 1e-4), "bfloat16": (3e-2, 1e-2)}
"""How far logits may differ, of the largest, and losses, of themselves."""


@dataclass(frozen=True)
class Arguments:
    """Time training steps of ours and of peers, in alternating processes."""

    out: Path
    """JSON file of the summary; the rounds go to a `.jsonl` beside it."""
    work: tuple[str, ...] = WORK
    """NETWORK-DTYPE; networks are resnet9, lenet5 and three_layer."""
    peers: tuple[str, ...] = tuple(peer for peer in PEERS if peer != "flax-loop")
    """Whom to compare with."""
    torch_python: Path | None = None
    """Interpreter that has PyTorch."""
    rounds: int = 5
    """Pairs of processes for each peer."""
    steps: int | None = None
    """Timed steps of a process (default: the network's own number)."""
    warmup: int = 3
    """Steps before them, beside the one that compiles."""
    batch: int = 128
    """Images in a step."""
    seed: int = 0
    """Draws images, labels and parameters."""
    any_commit: bool = False
    """Count recorded rounds of other commits as well."""

    def task(self, work: str, steps: int | None = None, warmup: int | None = None) -> dict[str, Any]:
        """Return a worker's flags."""
        network, dtype = work.rsplit("-", 1)
        return {
            "network": network,
            "dtype": dtype,
            "batch": self.batch,
            "seed": self.seed,
            "steps": steps or self.steps or PROBLEMS[network].steps,
            "warmup": self.warmup if warmup is None else warmup,
        }


def start(peer: str, arguments: Arguments, **flags: Any) -> dict[str, Any]:
    """Run one process of a peer, or of `ours`."""
    script, mode = PEERS.get(peer, ("ours.py", "loop"))
    python = str(arguments.torch_python) if peer.startswith("torch") else sys.executable
    environment = records.SAME_MALLOC if peer.endswith("-malloc") else {}
    return records.launch(python, script, environment=environment, mode=mode, **flags)


def check(work: str, arguments: Arguments) -> None:
    """Raise where a peer does not train the network that ours trains."""
    dtype = work.rsplit("-", 1)[1]
    to_check = dict.fromkeys(peer.removesuffix("-malloc") for peer in arguments.peers if peer != "flax-loop")
    with tempfile.TemporaryDirectory() as folder:
        flags = arguments.task(work) | {"parameters": f"{folder}/parameters.npz"}
        ours = start("ours", arguments, **flags)
        for peer in to_check:
            said = disagreement(ours, start(peer, arguments, **flags), *LOOSE[dtype])
            if said:
                raise ValueError(f"{work}: {peer} is not the same network: {said}")
    print(f"{work}: {', '.join(to_check)} train the same network, {ours['parameters']:,} parameters", flush=True)


def disagreement(ours: dict[str, Any], peer: dict[str, Any], logits: float, losses: float) -> str | None:
    """Say in what a peer differs by more than a part `logits` of the largest logit, or `losses` of a loss."""
    if ours["parameters"] != peer["parameters"]:
        return f"{peer['parameters']} parameters for {ours['parameters']}"
    a, b = np.array(ours["logits"]), np.array(peer["logits"])
    apart = np.abs(a - b).max() / np.abs(a).max()
    if not apart <= logits:
        return f"logits differ by {apart:.2g} of the largest"
    if not np.allclose(ours["losses"], peer["losses"], rtol=losses, atol=0):
        return f"losses {peer['losses']} for {ours['losses']}"
    return None


def settings(work: str, peer: str, number: int, commit: dict[str, Any], arguments: Arguments) -> dict[str, Any]:
    """Return what tells a round from any other."""
    task = arguments.task(work, steps=1, warmup=0) if peer == "flax-loop" else arguments.task(work)
    return {
        "work": work,
        "peer": peer,
        "round": number,
        **task,
        "lowering_asked": os.environ.get("JAXCNN_LOWERING", "auto"),
        **commit,
    }


def measure(key: dict[str, Any], arguments: Arguments) -> dict[str, Any]:
    """Run one process of ours and one of the peer; return the record."""
    work, peer = key["work"], key["peer"]
    stamp, sides = records.stamp(), {}
    for side in records.in_turn("ours", peer, key["round"]):
        task = arguments.task(work) if side == "ours" else {name: key[name] for name in arguments.task(work)}
        sides[side] = start(side, arguments, **task)
    ratio = sides[peer]["median_ms"] / sides["ours"]["median_ms"]
    return {**key, **stamp, "ratio": round(ratio, 4), "ours": sides["ours"], "theirs": sides[peer]}


def summarise(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return, for each work and peer, times and ratios over the rounds; and what follows from two peers."""
    summary: dict[str, Any] = {}
    for line in lines:
        summary.setdefault(line["work"], {}).setdefault(line["peer"], []).append(line)
    for peers in summary.values():
        for peer, rounds in peers.items():
            peers[peer] = {
                "ratio": records.spread(line["ratio"] for line in rounds),
                "ours_ms": records.spread(line["ours"]["median_ms"] for line in rounds),
                "theirs_ms": records.spread(line["theirs"]["median_ms"] for line in rounds),
                "peak_rss_mb": {side: max(line[side]["peak_rss_mb"] for line in rounds) for side in ("ours", "theirs")},
                "load": records.spread(line["load"] for line in rounds),
            }
        for name, pair in BETTER.items():
            if found := [peer for peer in pair if peer in peers]:
                best = min(found, key=lambda peer: peers[peer]["ratio"]["median"])
                peers[name] = peers[best] | {"which": best}
        if {"flax", "flax-loop"} <= peers.keys():
            outside, loop = (peers[peer]["theirs_ms"]["median"] for peer in ("flax", "flax-loop"))
            peers["flax"]["outside_over_loop"] = round(outside / loop, 4)
    return summary


def main(arguments: Arguments) -> None:
    """Check, run the rounds that are not recorded, and summarise."""
    if any(peer.startswith("torch") for peer in arguments.peers) and arguments.torch_python is None:
        raise SystemExit("--torch-python must name an interpreter that has PyTorch, or --peers leave it out")
    lines = arguments.out.with_suffix(".jsonl")
    commit = records.counted_commit(arguments.any_commit)
    keys = [
        settings(work, peer, number, commit, arguments)
        for work in arguments.work
        for number in range(arguments.rounds)
        for peer in arguments.peers
    ]
    done = {records.identity(line, keys[0]): line for line in records.read(lines)}
    checked = set()
    for key in keys:
        if records.identity(key, key) in done:
            continue
        if key["work"] not in checked:
            check(key["work"], arguments)
            checked.add(key["work"])
        record = done[records.identity(key, key)] = measure(key, arguments)
        records.append(lines, record)
        times = f"{record['ours']['median_ms']:.1f} ms, {key['peer']} {record['theirs']['median_ms']:.1f}"
        print(
            f"{key['work']}, round {key['round']}: ours {times}: {record['ratio']:.2f} (load {record['load']})",
            flush=True,
        )
    counted = [done[records.identity(key, key)] for key in keys]
    summary = summarise(counted)
    about = records.about(counted) | {name: keys[0][name] for name in ("batch", "seed", "lowering_asked")}
    arguments.out.write_text(json.dumps(about | {"summary": summary}, indent=1) + "\n")
    for work, peers in summary.items():
        for peer, row in peers.items():
            ratio = row["ratio"]
            print(
                f"{work:<22}{peer:<22}ours {row['ours_ms']['median']:9.1f} ms, theirs {row['theirs_ms']['median']:9.1f}"
                f": {ratio['median']:6.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"
            )


if __name__ == "__main__":
    main(tyro.cli(Arguments))
