"""Records of campaigns: the sampled tests that run for minutes or hours."""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "experiments" / "campaigns"


def record(name: str, command: str, **facts: Any) -> None:
    """Write what a campaign found, with the versions that it ran on."""
    versions = {package: metadata.version(package) for package in ("jaxcnn", "jax", "jaxlib", "onednn-cpu-gomp")}
    FOLDER.mkdir(parents=True, exist_ok=True)
    content = {"command": command, "versions": versions, **facts}
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
