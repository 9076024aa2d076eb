"""Does a network that is trained on many devices end as good as one that is trained on one?

    python experiments/many_devices.py --seeds 3

The preset `digits` on one device, on eight, and on eight of which two halves share the parameters; the devices are
virtual ones of the CPU. Dropout apart (there is none here), the steps are the same up to rounding, which training
amplifies: accuracies are to agree within the spread of the seeds.
"""

import argparse
import dataclasses
import json
import os
import statistics
import tempfile
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"  # before JAX looks

import jax

from jaxcnn import api, lowering
from jaxcnn.presets import PRESETS
from jaxcnn.runs import environment

RECORD = Path(__file__).parent / "many_devices.json"
MESHES = (None, "data=8", "data=4,model=2")


def main() -> None:
    """Train, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    lowering.enable()
    assert jax.device_count() == 8
    found: dict[str, list[float]] = {}
    for mesh in MESHES:
        name = mesh or "one device"
        for seed in seeds:
            config = dataclasses.replace(PRESETS["digits"], mesh=mesh, seed=seed)
            with tempfile.TemporaryDirectory() as folder:
                run = api.fit(config.model.name, config.data, config, out=Path(folder) / "run")
                found.setdefault(name, []).append(run.result["accuracy"])
            print(name, seed, found[name][-1], flush=True)
    facts = {
        name: {"test_accuracy": values, "mean": statistics.mean(values), "deviation": statistics.stdev(values)}
        for name, values in found.items()
    }
    RECORD.write_text(json.dumps({"environment": environment(), "seeds": len(seeds), "found": facts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
