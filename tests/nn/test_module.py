"""Names: every operation of a layer runs under the path of attributes that leads to it."""

import copy

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from jaxcnn import nn
from jaxcnn.nn.module import layer_of

X = jnp.ones((2, 3))


class Net(nn.Module):
    def __init__(self, rngs):
        self.first = dense(rngs)
        self.blocks = nnx.List([dense(rngs), dense(rngs)])
        self.table = nnx.Dict(left=dense(rngs))
        self.foreign = nnx.Sequential(dense(rngs), dense(rngs))
        self.body = nn.Sequential(dense(rngs), jnp.tanh, last=dense(rngs))

    def __call__(self, x, *, training=False, key=None):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.body(self.foreign(self.table["left"](x)))


class Doubled(nn.Sequential):
    def __call__(self, x, *, training=False, key=None):
        return 2 * super().__call__(x, training=training, key=key)


PATHS = [
    "first",
    "blocks/0",
    "blocks/1",
    "table/left",
    "foreign/layers/0",
    "foreign/layers/1",
    "body/layer0",
    "body/layer1",
    "body/last",
]


def dense(rngs):
    return nn.Dense(3, 3, rngs=rngs)


def scopes(fn, *args):
    """List the name stacks of a function's equations, each run of equal ones once."""
    stacks = [str(e.source_info.name_stack) for e in jax.make_jaxpr(fn)(*args).eqns]
    return [stack for i, stack in enumerate(stacks) if stack not in stacks[:i]]


@pytest.mark.parametrize(
    "through",
    [
        lambda net: net,
        copy.deepcopy,
        lambda net: nnx.merge(*nnx.split(net)),
        lambda net: nnx.clone(net),
        lambda net: jax.tree.map(lambda a: a, net),
    ],
    ids=["itself", "deepcopy", "split and merge", "clone", "pytree"],
)
def test_operations_carry_their_path(through):
    assert scopes(through(Net(nnx.Rngs(0))), X) == PATHS


def test_paths_reach_compiled_programs():
    text = nnx.jit(lambda net, x: net(x)).lower(Net(nnx.Rngs(0)), X).as_text(debug_info=True)
    assert all(path in text for path in PATHS)


def test_abstract_modules_carry_paths():
    net = nnx.eval_shape(lambda: Net(nnx.Rngs(0)))
    assert scopes(*nn.functionalize(net), X) == PATHS


def test_a_call_through_super_enters_its_scope_once():
    net = nn.Sequential(twice=Doubled(dense(nnx.Rngs(0))))
    assert scopes(net, X) == ["twice/layer0", "twice"]


def test_a_module_taken_out_begins_its_own_paths():
    net = nn.Sequential(stage=nn.Sequential(block=dense(nnx.Rngs(0))))
    assert scopes(*nn.functionalize(net.stage), X) == ["block"]
    assert scopes(net, X) == ["stage/block"], "and leaves the whole as it was"


def test_errors_carry_the_layers_path():
    net = nn.Sequential(stage=nn.Sequential(block=dense(nnx.Rngs(0))))
    with pytest.raises(ValueError, match="kernel") as caught:
        net(jnp.ones((2, 5)))
    assert layer_of(caught.value) == "stage/block"
