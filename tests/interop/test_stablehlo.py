"""Networks as programs of their own: run by JAX alone, bit for bit what they were."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from jaxcnn import api, interop, lowering, models, nn
from jaxcnn.config import Config, ModelConfig
from jaxcnn.runs import Run

ALONE = """
import sys
from pathlib import Path
import numpy as np
from jax import export
program = export.deserialize(bytearray(Path(sys.argv[1]).read_bytes()))
np.save(sys.argv[3], np.asarray(program.call(np.load(sys.argv[2]))))
assert not [name for name in sys.modules if name.startswith("jaxcnn")]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = Config(model=ModelConfig("small_cnn"), epochs=2, views="mirror")
    return api.fit("small_cnn", "digits", config, out=tmp_path_factory.mktemp("runs") / "digits")


def outputs_of(run: Run, x: np.ndarray) -> np.ndarray:
    fn = api.evaluated(run)
    return np.asarray(jax.jit(lambda stored: fn(run.preprocessing(stored)))(x))


@pytest.fixture(autouse=True)
def off() -> None:
    lowering.disable()


def test_a_process_without_jaxcnn_gives_the_same_bits(run: Run, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 17, (7, 8, 8, 1)).astype(np.float32)
    fn = api.evaluated(run)
    content = interop.to_stablehlo(lambda stored: fn(run.preprocessing(stored)), (8, 8, 1))
    program, images, logits = tmp_path / "program", tmp_path / "x.npy", tmp_path / "y.npy"
    program.write_bytes(content)
    np.save(images, x)
    subprocess.run([sys.executable, "-c", ALONE, program, images, logits], check=True, cwd=tmp_path)
    found, expected = np.load(logits), outputs_of(run, x)
    np.testing.assert_array_equal(found, expected)
    assert np.ptp(expected) > 1
    try:
        lowering.enable("onednn")
        np.testing.assert_allclose(outputs_of(run, x), found, rtol=1e-5, atol=1e-5 * np.abs(found).max())
    finally:
        lowering.disable()


def test_one_program_takes_any_number_of_examples(run: Run) -> None:
    fn = api.evaluated(run)
    program = export.deserialize(bytearray(interop.to_stablehlo(fn, (8, 8, 1))))
    x = jax.random.normal(jax.random.key(0), (9, 8, 8, 1))
    for count in (1, 2, 9):
        np.testing.assert_allclose(program.call(x[:count]), fn(x[:count]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("group_cnn", (28, 28, 1)),
        ("captioner", (64, 64, 1)),
        ("unet", (64, 64, 1)),
        ("mobilenet_v2", (32, 32, 3)),
        ("convnext_tiny", (32, 32, 3)),
        ("densenet100", (32, 32, 3)),
    ],
)
def test_networks_of_every_kind_are_exported(name: str, shape: tuple[int, ...]) -> None:
    module = jax.eval_shape(lambda: models.create(name, num_classes=10, input_shape=shape))
    fn, params = nn.functionalize(module)
    params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.01, leaf.dtype), params)
    x = jax.ShapeDtypeStruct((3, *shape), "float32")
    exported = export.deserialize(bytearray(interop.to_stablehlo(lambda x: fn(params, x), shape)))
    expected = jax.eval_shape(fn, params, x)
    assert [str(a.shape[0]) for a in exported.out_avals] == ["examples"] * len(jax.tree.leaves(expected))
    assert [a.shape[1:] for a in exported.out_avals] == [leaf.shape[1:] for leaf in jax.tree.leaves(expected)]


def test_the_lowering_must_be_off() -> None:
    try:
        tier = lowering.enable("canonical").tier
        with pytest.raises(ValueError, match=rf"the lowering is on \({tier}\)"):
            interop.to_stablehlo(jnp.sin, (4,))
    finally:
        lowering.disable()


def test_a_function_of_the_number_of_examples_is_refused() -> None:
    with pytest.raises(ValueError, match="`fn` needs to know how many examples there are"):
        interop.to_stablehlo(lambda x: x * float(len(x)), (4,))
