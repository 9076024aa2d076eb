"""One of several processes on one run: `python run_together.py RUN PORT PROCESSES PROCESS`, for tests/runs.

Each of them does the same calls; it prints one line of JSON with what it saw.
"""

import errno
import json
import sys

import jax
import numpy as np

from jaxcnn.runs import Run, is_run, manifest
from jaxcnn.training import Progress
from references import damage


def full(run: Run) -> Run:
    """In the process that writes, let the disk be full when the manifest is due."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if jax.process_index() == 0:
        manifest.write = fail
    return run


def main(path: str, port: int, processes: int, process: int) -> None:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", processes, process, initialization_timeout=60)
    mesh = jax.make_mesh((processes,), ("data",))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def spread(state):  # every process has the same values
        def put(leaf):
            if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                return jax.random.wrap_key_data(put(jax.random.key_data(leaf)))
            value = np.asarray(leaf)
            return jax.make_array_from_callback(value.shape, everywhere, lambda index: value[index])

        return jax.tree.map(put, state)

    said = {}
    run = Run.open(path) if (old := is_run(path)) else Run.create(path, damage.CONFIG, damage.FACTS)
    with run.locked():
        if old:
            step, progress, notes = run.resume(damage.CONFIG, damage.FACTS)
            said |= {"step": step, "epoch": progress.epoch, "notes": len(notes)}
            restored = run.restore(step, spread(damage.make_state(0)))
            said["same"] = damage.bits(restored) == damage.bits(damage.make_state(step))
        else:
            for epoch in (1, 2, 3):
                run.record({"epoch": epoch, "step": 2 * epoch}, {"seconds": 1.0})
                saving = run.save(spread(damage.make_state(2 * epoch)), Progress(epoch, 0.5, 1, 0.5 / epoch))
                saving.result()
                said[f"seen {epoch}"] = run.steps()
        try:
            full(run).save(spread(damage.make_state(8)), Progress(4, 0.5, 1, 0.1)).result()
        except Exception as error:
            said["full"] = f"{type(error).__name__}: {error}"
        said["left"] = sorted(entry.name for entry in (run.path / "steps").iterdir())
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
