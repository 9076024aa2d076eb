"""`jaxcnn doctor`: what there is to compute with, and whether it computes right."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from jaxcnn.cli.arguments import Common, Flag, parse
from jaxcnn.cli.output import console, emit_json, quiet, show_facts

OPTIONAL = {"matplotlib": "figures of the experiments", "pytest": "the tests"}


@dataclass(frozen=True)
class Arguments(Common):
    """Tell versions, devices, how convolutions are compiled, and which data are here; check a convolution."""

    deep: Flag = False
    """Also probe, in processes of their own: compilation cache, lowering, loops, known faults of this jaxlib."""


def main(argv: Sequence[str]) -> int:
    """Run the command: 1 where the check fails."""
    arguments = parse(Arguments, argv, verb="doctor")
    quiet(debug=arguments.debug)
    import jax

    from jaxcnn import data, lowering, runs
    from jaxcnn.cli.health import probe
    from jaxcnn.data.cache import root

    in_use = lowering.enable()
    problem = check_convolution() or check_half_precision()
    here = runs.environment()
    facts: dict[str, Any] = {
        **{name: here[name] for name in ("python", "platform", "packages", "commit", "flags")},
        "optional": {name: _version(name) for name in OPTIONAL},
        "devices": [f"{device.platform}:{device.id} {device.device_kind}" for device in jax.devices()],
        "cpus": here["cpus"],
        "lowering": {"tier": in_use.tier, "reason": in_use.reason},
        "cache": str(root()),
        "data": {name: data.state(name) for name in data.available()},
        "check": problem or "passed",
    }
    if not arguments.json:
        show_facts({name: _line(name, value) for name, value in facts.items()})
    found = []
    for finding in probe() if arguments.deep else ():
        found.append(finding._asdict())
        if not arguments.json:
            style = {"ok": "green", "problem": "bold red"}.get(finding.state, "yellow")
            console().print(f"{finding.name}: {finding.state}: {finding.told}", style=style)
    if arguments.json:
        emit_json(facts | ({"deep": found} if arguments.deep else {}))
    return 1 if problem or any(finding["state"] == "problem" for finding in found) else 0


def check_convolution() -> str | None:
    """Convolve, differentiate inside a loop, and compare with what is known; return what is wrong."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxcnn import functional as F

    x, kernel = jnp.arange(50.0).reshape(5, 5, 2), jnp.ones((3, 3, 2, 4))

    def total(kernel: jax.Array) -> jax.Array:
        return F.conv(x, kernel, padding="VALID").sum()

    patches = np.lib.stride_tricks.sliding_window_view(np.asarray(x), (3, 3), axis=(0, 1))
    output = F.conv(x, kernel, padding="VALID")
    gradient = jax.jit(lambda: jax.lax.map(lambda _: jax.grad(total)(kernel), jnp.arange(2))[1])()
    if not np.allclose(output, patches.sum((2, 3, 4))[..., None]):
        return "a convolution came out wrong"
    if not np.allclose(gradient, patches.sum((0, 1)).transpose(1, 2, 0)[..., None]):
        return "a convolution's gradient inside a loop came out wrong"
    return None


def check_half_precision() -> str | None:
    """Compare a small network in bfloat16 with float32, as compiled programs; return what is wrong."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxcnn import functional as F

    draw = np.random.default_rng(0).standard_normal
    images = jnp.asarray(draw((64, 8, 8, 1)), "bfloat16")
    kernels = [jnp.asarray(0.1 * draw((3, 3, *channels)), "bfloat16") for channels in ((1, 32), (32, 64), (64, 64))]

    @jax.jit
    def network(x: jax.Array, kernels: list[jax.Array]) -> jax.Array:
        x = F.max_pool(jax.nn.relu(F.conv(x, kernels[0])), (2, 2))
        x = jax.nn.relu(F.conv(x, kernels[1]))
        return F.max_pool(jax.nn.relu(F.conv(x, kernels[2])), (2, 2)).astype("float32")

    half, single = network(images, kernels), network(images.astype("float32"), [k.astype("float32") for k in kernels])
    if not np.allclose(half, single, rtol=0.1, atol=0.1 * float(single.max())):
        return "a network in bfloat16 came out wrong: compute in float32"
    return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _line(name: str, value: Any) -> str:
    match name:
        case "lowering":
            return f"{value['tier']}: {value['reason']}"
        case "optional":
            return ", ".join(
                f"{package} {version or 'missing'} ({OPTIONAL[package]})" for package, version in value.items()
            )
        case "packages" | "data" | "flags":
            return ", ".join(f"{key} {text}" for key, text in value.items()) or "none"
        case "commit":
            return value or "none: no git checkout"
        case "devices":
            return ", ".join(value)
    return str(value)
