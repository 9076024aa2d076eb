"""One of several processes of a small training: run as a program, by several of them at once."""

import json
import sys
from pathlib import Path

import jax
import numpy as np

from jaxcnn.runs import checkpoint
from jaxcnn.training.distributed import LostProcessError, initialize, leave, together
from jaxcnn.training.mesh import make_mesh
from references.many_devices import by_name, named, set_up, take


def main(coordinator: str, count: int, index: int, folder: Path, mode: str) -> None:
    """Train on every mesh and save; then train on, until somebody ends it, or end."""
    initialize(coordinator, count, index, environment={})
    jax.config.update("jax_enable_x64", True)
    for sizes in (f"model={count}", None) if mode == "all" else (f"model={count}",):
        mesh = make_mesh(sizes)
        programs = set_up(mesh, "float64")
        state, _ = take(programs, mesh, steps=3, streamed=True)
        trained = by_name(named(state))
        checkpoint.save(folder / "3", {"state": state}, {"epoch": 1}).result()
        if index == 0:
            np.savez(folder / f"{sizes}.npz", **trained)
    facts = {"devices": jax.device_count(), "local": jax.local_device_count()}
    print(json.dumps(facts), flush=True)
    programs = programs._replace(state=state)
    while mode != "end":
        with together():
            state, measured = take(programs, mesh, steps=1)
            jax.device_get(measured)
        programs = programs._replace(state=state)


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), sys.argv[5])
    except LostProcessError as error:
        print(error, file=sys.stderr)
        leave(1)
