"""`jaxcnn summary`: models, runs, networks in a line, and networks of the user's own."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

NETWORKS = """
import jax, jax.numpy as jnp
from flax import linen, nnx
from jaxcnn import nn

W = jnp.ones((5, 5, 3, 10))
NUMBERS = ("NHWC", "HWIO", "NHWC")

def fn(x):
    return jax.nn.relu(jax.lax.conv_general_dilated(x, W, (1, 1), "SAME", dimension_numbers=NUMBERS)).mean((1, 2))

jitted = jax.jit(fn)

def one_image(x):
    return jax.lax.conv_general_dilated(x[None], W, (2, 2), "VALID", dimension_numbers=NUMBERS)[0]

def signal(x):
    return jax.lax.conv_general_dilated(x, W[0], (2,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))

def channels_first(x):
    return jax.lax.conv(x, jnp.ones((8, 3, 3, 3)), (1, 1), "VALID")

def switched(x, train):
    return x if train else 2 * x

class Linen(linen.Module):
    @linen.compact
    def __call__(self, x, train=True):
        x = linen.Conv(8, (3, 3), strides=2, padding="CIRCULAR")(x)
        x = linen.relu(linen.BatchNorm(use_running_average=not train)(x))
        x = linen.Dropout(0.5, deterministic=not train)(x)
        return linen.Dense(10)(x.reshape(x.shape[0], -1))

linen_module = Linen()

class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 8, (3, 3), strides=2, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(16 * 16 * 8, 10, rngs=rngs)

    def __call__(self, x):
        x = self.dropout(nnx.relu(self.norm(self.conv(x))))
        return self.head(x.reshape(x.shape[0], -1))

nnx_module = Nnx(nnx.Rngs(0))

def make():
    return Nnx(nnx.Rngs(0))

class Switched(Nnx):
    def __call__(self, x, train):
        return x if train else super().__call__(x)

class Ours(nn.Module):
    def __init__(self, rngs):
        self.conv = nn.Conv(3, 8, (3, 3), rngs=rngs)

    def __call__(self, x, *, training=False, key=None):
        return self.conv(x, training=training)

@jax.tree_util.register_pytree_node_class
class Tree:
    def __init__(self, kernel=jnp.ones((3, 3, 3, 4)), strides=(1, 1)):
        self.kernel, self.strides = kernel, strides

    def __call__(self, x):
        return jax.lax.conv_general_dilated(x, self.kernel, self.strides, "SAME", dimension_numbers=NUMBERS)

    def tree_flatten(self):
        return (self.kernel,), self.strides

    @classmethod
    def tree_unflatten(cls, strides, children):
        return cls(*children, strides)

tree = Tree()
number = 3

def nothing():
    return None

def raises():
    raise RuntimeError("no weights")

def untraceable(x):
    return x @ W[0, 0, :2]

class Needy:
    def __init__(self, width):
        pass
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with networks of the user's own, to work in."""
    (tmp_path / "own_networks.py").write_text(NETWORKS)
    (tmp_path / "own_broken.py").write_text("import no_such_library\n")
    (tmp_path / "own_typo.py").write_text("def f(x:\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own_networks", raising=False)
    return tmp_path


def document(command, *argv: str) -> dict:
    code, out, err = command("summary", *argv, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_a_model(command) -> None:
    code, out, err = command("summary", "lenet5", "--input", "32x32x1")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert next(line for line in lines if line.startswith("total")).split() == ["total", "61,706", "417", "k"]
    assert max(map(len, lines)) <= 120
    told = document(command, "resnet18", "--input", "224x224x3", "--classes", "1000")
    assert told["totals"]["parameters"] == 11_689_512
    assert told["totals"]["macs"] == pytest.approx(1.81e9, rel=0.01)
    assert {layer["receptive_field"] for layer in told["layers"] if layer["name"] == "stage4/block1"} == {435}
    assert document(command, "mlp", "--model.width", "4", "--input", "2x2x1")["input"] == [2, 2, 1]
    code, _, err = command("summary", "mlp", "--classes", "0")
    assert (code, "`--classes` (=0)" in err) == (2, True)


def test_a_network_in_a_line(command) -> None:
    line = "conv5x5(10) p2 > relu > pool2 > dense10"
    code, out, _ = command("summary", line, "--input", "32x32x3")
    assert code == 0
    assert "(32 + 2*2 - 5)/1 + 1 = 32" in out
    assert "conv1: 760 parameters; a dense layer between the same arrays has 31,467,520" in out
    told = document(command, line, "--input", "32x32x3")
    assert told["model"] == line
    assert (told["layers"][0]["parameters"], told["layers"][0]["dense_parameters"]) == (760, 31_467_520)
    assert document(command, "pool2", "--input", "8x8x1")["layers"][0]["shape"] == [4, 4, 1]
    assert document(command, "conv5(4) s2", "--input", "128x3")["layers"][0]["shape"] == [62, 4]
    assert document(command, "conv5(4) s2", "--input", "9x9x9x1")["layers"][0]["shape"] == [3, 3, 3, 4]


def test_markdown(command) -> None:
    code, out, _ = command("summary", "conv5x5(10) p2 > relu", "--markdown")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("| Layer | Operation | Size | Output |")
    assert lines[-1] == "- conv1: 760 parameters; a dense layer between the same arrays has 31,467,520"


def test_compiled(command) -> None:
    code, out, _ = command("summary", "conv3(4) same", "--input", "8x8x1", "--compile")
    assert code == 0
    assert "XLA's own count, compiled: FLOPs " in out
    assert "XLA's own peak memory, compiled: " in out
    totals = document(command, "conv3(4) same", "--input", "8x8x1", "--compile")["totals"]
    assert 0 < totals["xla_flops"] <= totals["flops"]
    assert totals["xla_peak_bytes"] >= 4 * (8 * 8 + 3 * 3 * 4 + 4 + 8 * 8 * 4)
    assert "xla_flops" not in document(command, "conv3(4) same", "--input", "8x8x1")["totals"]


NORMED = [
    ("conv", [16, 16, 8]), ("norm", [16, 16, 8]), ("relu", [16, 16, 8]), ("flatten", [2048]), ("dense", [10]),
]  # fmt: skip
"""Of a network with a batch norm and a dropout, in evaluation."""


@pytest.mark.parametrize(
    ("target", "rows", "parameters"),
    [
        ("fn", [("conv", [32, 32, 10]), ("relu", [32, 32, 10]), ("global avg pool", [10])], 0),
        ("jitted", [("conv", [32, 32, 10]), ("relu", [32, 32, 10]), ("global avg pool", [10])], 0),
        ("one_image", [("conv", [14, 14, 10])], 0),
        ("switched", [("mul", [32, 32, 3])], 0),
        ("linen_module", NORMED, 20_730),
        ("nnx_module", NORMED, 20_730),
        ("make", NORMED, 20_730),
        ("Nnx", NORMED, 20_730),
        ("Linen", NORMED, 20_730),
        ("Switched", NORMED, 20_730),
        ("Ours", [("conv", [32, 32, 8])], 224),
        ("tree", [("conv", [32, 32, 4])], 108),
        ("Tree", [("conv", [32, 32, 4])], 108),
    ],
)
def test_a_network_of_the_users_own(command, own: Path, target: str, rows: list, parameters: int) -> None:
    told = document(command, f"own_networks:{target}", "--input", "32x32x3")
    assert told["input"] == [32, 32, 3]
    assert [(layer["op"], layer["shape"]) for layer in told["layers"]] == rows
    assert told["totals"]["parameters"] == parameters
    assert told["unknown"] == {}


def test_own_networks_on_other_inputs(command, own: Path) -> None:
    assert document(command, "own_networks:signal", "--input", "31x3")["layers"][0]["shape"] == [16, 10]
    told = document(command, "own_networks:channels_first", "--channels-first", "--input", "3x9x8")
    assert (told["input"], told["layers"][0]["shape"]) == ([3, 9, 8], [8, 7, 6])
    assert document(command, "own_networks:fn", "--batch", "4")["examples"] == 4
    assert document(command, "own_networks:one_image", "--batch", "0")["examples"] == 1


EQUINOX = """
import equinox as eqx, jax

class Net(eqx.Module):
    conv: eqx.nn.Conv2d
    dropout: eqx.nn.Dropout
    head: eqx.nn.Linear

    def __init__(self):
        one, two = jax.random.split(jax.random.key(0))
        self.conv = eqx.nn.Conv2d(3, 8, 3, stride=2, padding=1, key=one)
        self.dropout = eqx.nn.Dropout(0.5)
        self.head = eqx.nn.Linear(2048, 10, key=two)

    def __call__(self, x, *, key=None):
        return self.head(self.dropout(jax.nn.relu(self.conv(x)), key=key).reshape(-1))
"""


def test_an_equinox_network(command, own: Path) -> None:
    (own / "own_equinox.py").write_text(EQUINOX)
    told = document(command, "own_equinox:Net", "--channels-first", "--input", "3x32x32")
    assert [(layer["name"], layer["op"], layer["shape"], layer["parameters"]) for layer in told["layers"]] == [
        ("conv", "conv", [8, 16, 16], 224),
        ("relu1", "relu", [8, 16, 16], 0),
        ("flatten1", "flatten", [2048], 0),
        ("head", "dense", [10], 20_490),
    ]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("own_networks:fm", "unknown name in module 'own_networks' 'fm': did you mean 'fn'?"),
        ("own_network:fn", "no module 'own_network' in the working directory"),
        ("own_networks.py:fn", "without .py"),
        ("own_broken:fn", "module 'own_broken' fails to import: ModuleNotFoundError: No module named"),
        ("own_typo:fn", "module 'own_typo' fails to import: SyntaxError: "),
        ("own_networks:number", "must be callable: a function of the input, or a network; got an int"),
        ("own_networks:nothing", "takes no input, so it must make a network, but it returns a NoneType"),
        ("own_networks:raises", "must make a network, but fails: RuntimeError: no weights"),
        ("own_networks:Needy", "is a class that needs width: write a function without arguments that makes one"),
        ("own_networks:untraceable", "fails on an input of shape (1, 32, 32, 3) and (32, 32, 3): TypeError:"),
        ("own_networks:fn --batch 0", "fails on an input of shape (32, 32, 3): TypeError: convolution requires"),
        ("own_networks:fn --input 32x3", "fails on an input of shape (1, 32, 3)"),
        ("own_networks:signal --input 32x32x3", "have spatial rank 1, but --input 32x32x3 has 2 spatial sizes"),
        ("own_networks:fn --input 1x32x32x3", "have spatial rank 2, but --input 1x32x32x3 has 3 spatial sizes"),
        ("lenet5 --batch 2", "--channels-first and --batch are for networks of your own"),
        ("pool2 --channels-first", "--channels-first and --batch are for networks of your own"),
        ("pool2 --classes 3", "--classes is for models and runs"),
        ("lenet5 --json --markdown", "choose one"),
        ("conv3(4)>rellu", "unknown layer 'rellu': did you mean 'relu'? At column 10: conv3(4)>^rellu"),
        ("pool9 --input 4x4x1", "`window` (=9) does not fit"),
        ("relu --input 3", "must be 1 to 3 spatial sizes and the channels"),
        ("lenet5 --input 28x28", "`--input` (=28x28)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(command, own: Path, argv: str, expected: str) -> None:
    code, out, err = command("summary", *argv.split())
    assert (code, out) == (2, "")
    assert err.startswith("jaxcnn: error: ")
    assert expected in err
    assert err.count("\n") == 1


def test_debug_shows_where_an_own_network_fails(command, own: Path) -> None:
    _, _, err = command("summary", "own_networks:untraceable", "--debug")
    assert "in untraceable" in err
    assert "return x @ W[0, 0, :2]" in err


def test_the_module_comes_from_the_working_directory(own: Path) -> None:
    code = textwrap.dedent(
        """
        import sys
        from jaxcnn.cli import main
        sys.exit(main(["summary", "own_networks:fn", "--json"]))
        """
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=own, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
    assert json.loads(process.stdout)["model"] == "own_networks:fn"


def test_help_tells_the_grammar(command) -> None:
    _, out, _ = command("summary", "--help")
    for text in ("conv5x5(10)", "globalavg", "transposed4(8)", "circular", "MODULE:FUNCTION", "Equinox"):
        assert text in out
