"""Members of one program, against the same networks trained alone."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcnn import functional as F
from jaxcnn import training
from jaxcnn.config import AugmentConfig, OptimConfig
from jaxcnn.training import Members, Plan

PLANS = [Plan("vmap"), Plan("map"), Plan("map", 2), Plan("one by one"), Plan("threads", 2)]
VALUES = {
    "lr": [0.1, 0.02, 0.3],
    "momentum": [0.9, 0.0, 0.5],
    "weight_decay": [1e-2, 1e-3, 0.1],
    "smoothing": [0.0, 0.1, 0.3],
    "dropout": [0.0, 0.3, 0.6],
    "rotate": [5.0, 10.0, 20.0],
}
BATCH, STEPS = 6, 3


def network(rate: Any) -> Any:
    def apply(params, statistics, x, *, training, key):
        x = jax.nn.tanh(F.conv(x, params["kernel"])).mean((1, 2))
        if training:
            x = F.dropout(x, rate, key=key)
        return F.dense(x, params["head"]), {"seen": statistics["seen"] + 1.0}

    return apply


def train_steps(values: Any, dtype: str) -> training.TrainSteps:
    config = OptimConfig(
        "momentum", lr=values["lr"], momentum=values["momentum"], weight_decay=values["weight_decay"], schedule="linear"
    )

    def loss(outputs, targets):
        return training.cross_entropy(outputs, targets, label_smoothing=values["smoothing"])

    return training.make_train_steps(
        network(values["dropout"]),
        training.make_optimizer(config, steps_per_epoch=4, epochs=2),
        loss,
        augment=training.make_augment(AugmentConfig(rotate=values["rotate"], flip="random")),
        batch=BATCH,
        dtype=dtype,
    )


def drawn(seed: int, dtype: str) -> tuple[Any, Any]:
    """A member's parameters and its key."""
    keys = jax.random.split(jax.random.key(seed), 3)
    kernel, head = (
        0.3 * jax.random.normal(k, shape, dtype) for k, shape in zip(keys, ((3, 3, 2, 5), (5, 4)), strict=False)
    )
    return {"kernel": kernel, "head": head}, keys[2]


def begun(seed: int, dtype: str) -> training.TrainState:
    params, key = drawn(seed, dtype)
    optimizer = training.make_optimizer(OptimConfig("momentum", weight_decay=1.0), steps_per_epoch=4, epochs=2)
    return training.create_state(params, {"seen": jnp.zeros((), dtype)}, optimizer, key)


def evaluate(values: Any, params: Any, statistics: Any, data: Any) -> Any:
    measure = training.make_evaluate(
        network(0.0), metrics={"loss": training.cross_entropy}, batch=4, dtype=str(data[0].dtype)
    )
    return measure(params, statistics, data)


def setting(dtype: str) -> tuple[Any, Any]:
    x = jax.random.uniform(jax.random.key(9), (4 * BATCH, 8, 8, 2), dtype)
    data = x, jnp.arange(4 * BATCH) % 4
    orders = jnp.stack([training.epoch_order(jax.random.key(k), 4 * BATCH, BATCH, epoch=0) for k in range(3)])
    return data, orders


def of_members(plan: Plan, dtype: str) -> Members:
    def steps(values, state, examples, order, start, count):
        return train_steps(values, dtype).program(state, examples, order, start, count)

    values = {name: np.array(numbers, dtype) for name, numbers in VALUES.items()}
    return Members(steps, evaluate, values, count=3, plan=plan)


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_a_member_is_the_network_trained_alone(plan: Plan) -> None:
    with jax.enable_x64():
        data, orders = setting("float64")
        members = of_members(plan, "float64")
        held, metrics = members.train(
            members.hold([begun(k, "float64") for k in range(3)]), data, orders, start=1, count=STEPS
        )
        losses = members.evaluate(held, data)["loss"]
        for k in range(3):
            values = {name: numbers[k] for name, numbers in VALUES.items()}
            state, alone = train_steps(values, "float64")(begun(k, "float64"), data, orders[k], start=1, count=STEPS)
            found = members.state(held, k)
            for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(state), strict=True):
                if not jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
                    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
            assert int(found.step) == STEPS
            np.testing.assert_allclose(metrics["loss"][k], alone["loss"], rtol=1e-6)  # summed in float32
            np.testing.assert_allclose(
                losses[k], evaluate(None, state.params, state.statistics, data)["loss"], rtol=1e-9
            )


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_a_member_that_is_not_active_stays_as_it_is(plan: Plan) -> None:
    data, orders = setting("float32")
    members = of_members(plan, "float32")
    held = members.hold([begun(k, "float32") for k in range(3)])
    before = [jax.tree.map(np.asarray, members.state(held, k).params) for k in range(3)]
    held, metrics = members.train(held, data, orders, start=0, count=2, active=[True, False, True])
    moved = []
    for k in range(3):
        state = members.state(held, k)
        moved.append(not np.array_equal(state.params["kernel"], before[k]["kernel"]))
        assert int(state.step) == (0 if k == 1 else 2)
    assert moved == [True, False, True]
    assert bool(np.isfinite(np.asarray(metrics["loss"])[[0, 2]]).all())


def test_a_member_that_is_lost_does_not_touch_the_others() -> None:
    """One rate makes a network infinite: in the same vmapped program."""
    data, orders = setting("float32")
    members = of_members(Plan("vmap"), "float32")
    members.values["lr"] = members.values["lr"].at[1].set(1e38)
    held, metrics = members.train(members.hold([begun(k, "float32") for k in range(3)]), data, orders, start=0, count=4)
    assert metrics["first_bad_step"].tolist()[::2] == [-1, -1]
    assert int(metrics["first_bad_step"][1]) > 0
    assert np.isfinite(members.state(held, 2).params["kernel"]).all()


def test_one_program_serves_all_values_and_spans() -> None:
    data, orders = setting("float32")
    members = of_members(Plan("one by one"), "float32")
    held = members.hold([begun(k, "float32") for k in range(3)])
    for start, count in ((0, 0), (0, 2), (2, 1)):
        held, _ = members.train(held, data, orders, start=start, count=count)
    assert members._one._cache_size() == 1


def test_plans_need_memory_as_they_take_members_together() -> None:
    data, orders = setting("float32")
    needed = {}
    for plan in PLANS:
        members = of_members(plan, "float32")
        needed[str(plan)] = members.bytes_needed(members.hold([begun(k, "float32") for k in range(3)]), data, orders)
    assert needed["vmap"] > needed["one by one"] > 0


def test_values_are_one_a_member() -> None:
    with pytest.raises(ValueError, match="one number for each of the 2 members"):
        Members(lambda *_: None, lambda *_: None, {"lr": np.ones(3)}, count=2, plan=Plan("vmap"))
