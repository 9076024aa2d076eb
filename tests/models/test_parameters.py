"""Every model has the number of parameters that was published, or that its layers add up to."""

import jax
import pytest
from flax import nnx

from jaxcnn import models, nn

IMAGENET, CIFAR = (1000, (224, 224, 3)), (10, (32, 32, 3))
HEADED = {"head": "avg"}
PARAMETERS = [
    ("linear", *CIFAR, {}, 30_730),
    ("mlp", 10, (28, 28, 1), {}, 118_282),
    ("mlp", 10, (28, 28, 1), {"width": 64, "depth": 1}, 50_890),
    ("mlp", 10, (100, 3), {"width": 64, "depth": 1}, 301 * 64 + 65 * 10),
    ("small_cnn", 10, (8, 8, 1), {}, 58_474),
    ("small_cnn", 10, (28, 28, 1), {}, 289_130),
    ("small_cnn", 10, (28, 28, 1), {"pool": "stride"}, 289_130 + 86_464),
    ("group_cnn", 10, (28, 28, 1), {"width": 8}, 69_730),
    ("group_cnn", 10, (28, 28, 1), {"width": 8, "group": "p4m"}, 138_850),
    ("lenet5", 10, (32, 32, 1), {}, 61_706),
    ("lenet5", 10, (28, 28, 1), {}, 61_706),
    ("lenet5", 10, (32, 32, 1), {"activation": "tanh", "pool": "avg"}, 61_706),
    ("alexnet", *IMAGENET, {}, 61_100_840),
    ("alexnet", *CIFAR, {"stem": "cifar"}, 7_706_442),
    ("nin", *CIFAR, {}, 966_986),
    ("all_cnn", *CIFAR, {}, 1_369_738),
    ("vgg11", *IMAGENET, {}, 132_863_336),
    ("vgg16", *IMAGENET, {}, 138_357_544),
    ("vgg19", *IMAGENET, {}, 143_667_240),
    ("vgg11", *CIFAR, HEADED, 9_225_610),
    ("vgg16", *CIFAR, HEADED, 14_719_818),
    ("vgg19", *CIFAR, HEADED, 20_029_514),
    ("resnet9", *CIFAR, {}, 6_573_130),
    ("airbench", *CIFAR, {}, 1_972_792),
    ("airbench96", *CIFAR, {}, 9_918_776),
    ("small_resnet", *CIFAR, {}, 75_290),
    ("resnet20", *CIFAR, {}, 269_722),
    ("resnet20", *CIFAR, {"residual": False}, 269_722),
    ("resnet32", *CIFAR, {}, 464_154),
    ("resnet56", *CIFAR, {}, 853_018),
    ("resnet110", *CIFAR, {}, 1_727_962),
    ("resnet18", *IMAGENET, {}, 11_689_512),
    ("resnet34", *IMAGENET, {}, 21_797_672),
    ("resnet50", *IMAGENET, {}, 25_557_032),
    ("resnet101", *IMAGENET, {}, 44_549_160),
    ("resnet152", *IMAGENET, {}, 60_192_808),
    ("resnet18", *CIFAR, {"stem": "cifar"}, 11_173_962),
    ("preact_resnet20", *CIFAR, {}, 272_282),
    ("preact_resnet110", *CIFAR, {}, 1_730_522),
    ("wrn16_4", *CIFAR, {}, 2_748_890),
    ("wrn28_10", *CIFAR, {}, 36_479_194),
    ("densenet100", *CIFAR, {}, 769_162),
    ("mobilenet_v2", *IMAGENET, {}, 3_504_872),
    ("mobilenet_v2", *CIFAR, {"stem": "cifar"}, 2_236_682),
    ("convnext_tiny", *IMAGENET, {}, 28_589_128),
    ("detector", 14, (64, 64, 1), {"width": 24}, 246_086),
    ("detector", *CIFAR, {}, 436_458),
    ("captioner", *CIFAR, {}, 356_098),
    ("unet", 2, (64, 64, 3), {}, 31_037_698),
]  # fmt: skip


@pytest.mark.parametrize(("name", "num_classes", "input_shape", "options", "count"), PARAMETERS)
def test_parameter_counts(name, num_classes, input_shape, options, count):
    module = nnx.eval_shape(lambda: models.create(name, num_classes=num_classes, input_shape=input_shape, **options))
    _, params = nn.functionalize(module)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


def test_every_model_is_counted():
    assert {name for name, *_ in PARAMETERS} == set(models.available())


@pytest.mark.parametrize(("name", "blocks"), [("small_resnet", 1), ("resnet20", 3)])
@pytest.mark.parametrize("input_shape", [(40, 3), (32, 32, 3), (8, 9, 10, 2)], ids=["1-D", "2-D", "3-D"])
def test_small_resnets_follow_the_formula(name, blocks, input_shape):
    taps, count, inputs = 3 ** (len(input_shape) - 1), 0, input_shape[-1]
    for outputs in (8, *[8 * 2**stage for stage in range(3) for _ in range(2 * blocks)]):
        count += taps * inputs * outputs + 2 * outputs
        inputs = outputs
    test_parameter_counts(name, 7, input_shape, {"width": 8}, count + (inputs + 1) * 7)


def test_a_unet_follows_the_formula():
    count, inputs = 3 * 64 * 9 + 2 * 64, 64
    count += 64 * 64 * 9 + 2 * 64
    for outputs in (128, 256, 512, 1024):
        count += 9 * outputs * (inputs + outputs) + 4 * outputs  # down
        count += 4 * inputs * outputs + inputs  # up
        count += 9 * inputs * (2 * inputs + inputs) + 4 * inputs  # merge
        inputs = outputs
    assert count + 65 * 2 == 31_037_698
