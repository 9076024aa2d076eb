"""Models by name: what there is, and what is refused, in a line that says where."""

import pytest

from jaxcnn import models


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet19", {}, "unknown model 'resnet19': did you mean 'resnet1?8?9?'"),
        ("small_cnn", {"widht": 8}, "unknown option of small_cnn 'widht': did you mean 'width'"),
        ("linear", {"width": 8}, r"unknown option of linear 'width': Known: \(none\)"),
        ("mlp", {"stem": "cifar"}, "unknown option of mlp 'stem'"),
        ("small_cnn", {"norm": "bacth"}, "unknown norm 'bacth': did you mean 'batch'"),
        ("small_cnn", {"pool": "average"}, "unknown pool 'average'"),
        ("resnet20", {"pool": "max"}, "unknown pool 'max': Known: blur, polyphase, stride"),
        ("convnext_tiny", {"pool": "avg"}, "unknown pool 'avg': Known: blur, polyphase, stride"),
        ("group_cnn", {"pool": "stride"}, "unknown .*pool 'stride'"),
        ("group_cnn", {"init": "dirac"}, "`init` .='dirac'. is not for group_cnn"),
        ("resnet20", {"init": "he"}, "unknown init 'he': Known: dirac, glorot_normal"),
        ("mlp", {"init": "normal"}, "unknown init 'normal'"),
        ("resnet20", {"drop_path": 1.0}, r"`drop_path` \(=1.0\) must be at least 0 and less than 1"),
        ("resnet18", {"drop_path": 0.1, "residual": False}, r"`drop_path` \(=0.1\) must be 0 with `residual`"),
        ("vgg11", {"drop_path": 0.1}, "unknown option of vgg11 'drop_path'"),
        ("nin", {"head": "flatten"}, "unknown head 'flatten': .*avg"),
        ("all_cnn", {"rank": 1}, "unknown option of all_cnn 'rank'"),
        ("alexnet", {}, r"alexnet with .* in layer pool5: `window` \(=3\).* does not fit"),
        ("alexnet", {"stem": "cifr"}, "unknown stem 'cifr': did you mean 'cifar'"),
        ("unet", {"input_shape": (24, 20, 3)}, r"2\*\*depth \(=16\) must divide the sizes"),
        ("unet", {"depth": -1}, r"`depth` \(=-1\)"),
        ("unet", {"head": "avg"}, "unknown option of unet 'head'"),
        ("small_resnet", {"input_shape": (8,)}, r"`input_shape` \(=\(8,\)\) must be one to three sizes, and channels"),
        ("resnet18", {"input_shape": (8, 8, 8, 3)}, r"must be \(height, width, channels\)"),
        ("small_cnn", {"head": "global"}, "unknown head 'global'"),
        ("small_cnn", {"activation": "rellu"}, "unknown activation 'rellu': did you mean 'relu'"),
        ("small_cnn", {"padding_mode": "wrap"}, "unknown `padding_mode` 'wrap'"),
        ("resnet18", {"stem": "small"}, "unknown stem 'small'"),
        ("mlp", {"depth": -1}, r"`depth` \(=-1\)"),
        ("detector", {"input_shape": (30, 32, 3)}, "4 must divide the sizes"),
        ("captioner", {"length": 0}, r"`length` \(=0\)"),
        ("small_cnn", {"width": 0}, r"`width` \(=0\) of small_cnn must be at least 1, and whole"),
        ("small_cnn", {"dropout": 1.0}, r"`dropout` \(=1.0\) of small_cnn must be at least 0 and less than 1"),
        ("small_cnn", {"num_classes": 0}, r"`num_classes` \(=0\)"),
        ("small_cnn", {"input_shape": (8, 8)}, r"`input_shape` \(=\(8, 8\)\) must be \(height, width, channels\)"),
        ("small_cnn", {"input_shape": (8, 0, 1)}, r"`input_shape` \(=\(8, 0, 1\)\)"),
        ("lenet5", {"input_shape": (4, 4, 1)}, r"lenet5 .* in layer conv1: `window` \(=5\).* does not fit"),
        ("lenet5", {"input_shape": (8, 8, 1)}, "in layer conv2"),
        ("resnet9", {"input_shape": (4, 4, 3)}, "in layer pool3"),
    ],
)
def test_bad_requests(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.create(name, **options)


def test_available_names_are_created():
    names = list(models.available())
    assert names[:3] == ["linear", "mlp", "small_cnn"]  # by age and family, and not by the alphabet
    assert len(names) == 34
    assert all(models.available().values())
