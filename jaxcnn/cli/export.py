"""`jaxcnn export`: a run's network for other programs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from jaxcnn.cli.arguments import Common, parse
from jaxcnn.cli.output import emit_json, quiet, show_facts

if TYPE_CHECKING:
    from jaxcnn.runs import Run

RUN_IT = """\
from pathlib import Path
from jax import export, numpy as jnp
network = export.deserialize(bytearray(Path({name!r}).read_bytes()))
network.call(jnp.zeros({shape}, "float32"))    # any number of images, as they are stored"""


@dataclass(frozen=True)
class Arguments(Common):
    """Write the network that a run chose as a file that other programs read.

    stablehlo: a program that jax.export runs, without jaxcnn, on CPU, GPU and TPU: preparation of the images, the views
    that evaluation averages, and all weights are in it; what it takes and gives is told in a .json beside it.

    safetensors: the weights by the names of their layers; `jaxcnn evaluate FILE --data NAME` measures them, and
    `jaxcnn train --init FILE` begins with them.
    """

    run: Annotated[Positional[str], arg(metavar="RUN")]
    """Folder of the run."""
    format: Literal["stablehlo", "safetensors"] = "stablehlo"
    """Of the file."""
    out: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """The file (default: called as the run, here); one that there is already is left alone."""


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = parse(Arguments, argv, verb="export")
    quiet(debug=arguments.debug)
    from jaxcnn import api, runs

    run = runs.Run.open(arguments.run)
    path = Path(arguments.out or f"{run.path.resolve().name}.{arguments.format}")
    beside = path.with_name(f"{path.name}.json")
    for file in (path, beside) if arguments.format == "stablehlo" else (path,):
        if file.exists():
            raise ValueError(f"{file} is there already: give another --out, or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    if arguments.format == "safetensors":
        numbers = api.save_weights(run, path)
        told: dict[str, Any] = {"numbers": numbers}
    else:
        content, told = _program(run)
        path.write_bytes(content)
        beside.write_text(json.dumps(told, indent=2) + "\n")
    if arguments.json:
        emit_json({"run": str(run.path), "format": arguments.format, "file": str(path), **told})
        return 0
    shown = {"file": str(path), "bytes": f"{path.stat().st_size:,}"}
    if arguments.format == "safetensors":
        show_facts({**shown, "numbers": f"{told['numbers']:,}", "measure it": f"jaxcnn evaluate {path} --data NAME"})
    else:
        shape = tuple(told["input"]["shape"][1:])
        show_facts({**shown, "beside it": str(beside)})
        print(f"\n{RUN_IT.format(name=str(path), shape=(8, *shape))}")
    return 0


def _program(run: "Run") -> tuple[bytes, dict[str, Any]]:
    """Return a run's network as a program, and what is to be known of it."""
    import jax

    from jaxcnn import __version__, api, interop, lowering

    lowering.disable()  # its custom calls mean nothing to another process

    facts, preprocessing = run.facts, run.preprocessing
    outputs = api.evaluated(run)
    shape = tuple(facts["input_shape"])

    def network(stored: jax.Array) -> Any:
        return outputs(preprocessing(stored))

    content = interop.to_stablehlo(network, shape)
    given = jax.eval_shape(network, jax.ShapeDtypeStruct((1, *shape), "float32"))
    told = {
        "input": {
            "shape": ["examples", *shape],
            "dtype": "float32",
            "meaning": f"images as stored: the program itself multiplies them by {preprocessing.scale:.6g}, and "
            "standardises each channel",
        },
        "output": jax.tree.map(lambda leaf: {"shape": ["examples", *leaf.shape[1:]], "dtype": str(leaf.dtype)}, given),
        "classes": facts["classes"],
        "model": run.config.model.name,
        "platforms": list(interop.PLATFORMS),
        "written by": {"jaxcnn": __version__, "jax": jax.__version__},
    }
    return content, told
