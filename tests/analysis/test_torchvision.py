"""Real models, held to published tables, torchvision's own counts, and the gradient.

A plain run takes one model of each family; `-m slow` takes the others.
"""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from analysis.oracle import compare
from analysis.weightless import Weightless, allocate, classifier, from_timm, segmenter, without_head
from mnistzoo import analyze, num_params, receptive_field

IMAGE = (3, 224, 224)


def others_slow(cases, quick):
    """Mark all cases as slow whose first value is not among the quick ones."""
    return [
        pytest.param(*case, marks=() if case[0] in quick.split() else pytest.mark.slow)
        for case in cases
    ]


NAMES = """
    alexnet convnext_small convnext_tiny densenet121 densenet169 efficientnet_b0 efficientnet_b1
    efficientnet_b2 efficientnet_b3 googlenet inception_v3 maxvit_t mnasnet0_5 mnasnet0_75
    mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_16gf
    regnet_x_1_6gf regnet_x_32gf regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf
    regnet_y_128gf regnet_y_16gf regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf regnet_y_400mf
    regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet18 resnet34 resnet50 resnext101_32x8d
    resnext101_64x4d resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5
    shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_t swin_v2_t vgg11 vgg11_bn vgg13 vgg13_bn
    vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_l_32 wide_resnet101_2 wide_resnet50_2
"""
QUICK = """
    alexnet convnext_tiny densenet121 efficientnet_b0 googlenet inception_v3 mnasnet0_5
    mobilenet_v3_small regnet_y_400mf resnet18 shufflenet_v2_x0_5 squeezenet1_1 swin_t vgg11
    vit_b_32
"""

ROUNDED = 0.0005
"""torchvision prints `_ops` in units of 10⁹ with three decimals."""


def _published(name):
    """Return the metadata of weights with the usual image size, and that size."""
    for weights in torchvision.models.get_model_weights(name):
        size = weights.transforms().crop_size[0]
        if size == 224 or name in ("inception_v3", "efficientnet_b1", "efficientnet_b2"):
            return weights.meta, size
    return weights.meta, size


@pytest.mark.parametrize("name", others_slow(zip(NAMES.split()), QUICK))
def test_counts_are_those_that_torchvision_publishes(name):
    """Parameters equal `num_params`, and MACs are within 1 % of `_ops` and its rounding."""
    meta, size = _published(name)
    module = classifier(name)
    analysis = analyze(module, (3, size, size))
    auxiliary = num_params(module.AuxLogits) if name == "inception_v3" else 0
    assert analysis.num_params == meta["num_params"]
    assert analysis.unused_params == auxiliary
    assert abs(analysis.macs / 1e9 - meta["_ops"]) <= 0.01 * meta["_ops"] + ROUNDED


@pytest.mark.parametrize(
    ("name", "layer", "size", "stride", "padding"),
    [
        ("vgg11", None, 150, 32, 59),
        ("vgg16", None, 212, 32, 90),
        ("inception_v3", None, 1311, 32, 618),
        ("alexnet", None, 195, 32, 66),
        ("resnet50", "layer4", 427, 32, 213),
    ],
)
def test_published_receptive_fields(name, layer, size, stride, padding):
    """Fields equal the table of google-research/receptive_field.

    ResNet differs from it, as torchvision puts the strides elsewhere.
    """
    side = 299 if name == "inception_v3" else 224
    field = receptive_field(classifier(name), (3, side, side), layer)
    assert field.size == (size, size)
    assert field.stride == (stride, stride)
    assert field.padding == (padding, padding)


def test_vgg_a_layer_by_layer():
    """VGG-11's convolutions and pools grow from 3 to 150 pixels, as in Araujo et al. 2019."""
    rows = [row for row in analyze(classifier("vgg11"), IMAGE) if row.path.startswith("features")]
    steps = [row for row in rows if row.kind in ("Conv2d", "MaxPool2d")]
    sizes = [row.receptive_field.size[0] for row in steps]
    assert sizes == [3, 4, 8, 10, 18, 26, 30, 46, 62, 70, 102, 134, 150]


def test_mobilenet_v1_of_timm():
    """MobileNet has the published 315 pixels with a stride of 32."""
    pytest.importorskip("timm", reason="timm is not a dependency of the package")
    field = receptive_field(from_timm("mobilenetv1_100"), IMAGE)
    assert field.size == (315, 315)
    assert field.stride == (32, 32)


def test_efficientnet_is_global_with_a_local_window():
    """Squeeze-and-excitation reads the whole image; the convolutions alone read 851 pixels."""
    field = receptive_field(classifier("efficientnet_b0"), IMAGE)
    assert field.is_global
    assert field.size == (224, 224)
    assert field.local.size == (851, 851)
    assert not field.local.is_global


GRADIENT = [
    *(("resnet18", "layer4", 64), ("resnet34", "layer3", 64), ("resnet50", "layer3", 64)),
    *(("resnext50_32x4d", "layer2", 64), ("wide_resnet50_2", "layer2", 64)),
    *(("vgg11", "features", 64), ("vgg13_bn", "features", 48), ("vgg16", "features.23", 64)),
    *(("alexnet", "features", 75), ("squeezenet1_0", "features", 64)),
    *(("squeezenet1_1", "features", 64), ("densenet121", "features.denseblock2", 64)),
    *(("googlenet", "inception4b", 64), ("inception_v3", "Mixed_6b", 75)),
    *(("mobilenet_v2", "features", 64), ("mobilenet_v3_small", "features", 64)),
    *(("mobilenet_v3_large", "features.6", 64), ("shufflenet_v2_x0_5", "conv5", 64)),
    *(("shufflenet_v2_x1_0", "stage4", 64), ("mnasnet0_5", "layers", 64)),
    *(("mnasnet1_0", "layers", 64), ("efficientnet_b0", "features.4", 64)),
    *(("regnet_x_400mf", "trunk_output", 64), ("regnet_y_400mf", "trunk_output.block2", 64)),
    *(("convnext_tiny", "features.2", 64), ("swin_t", "features.1", 64)),
    *(("swin_v2_t", "features.1", 64),),
]


@pytest.mark.parametrize(
    ("name", "layer", "side"),
    others_slow(GRADIENT, "alexnet squeezenet1_1 shufflenet_v2_x0_5 mnasnet0_5 swin_t"),
)
def test_units_read_the_pixels_that_have_a_gradient(name, layer, side):
    """Corners and middle units of real models read exactly the pixels with a gradient."""
    torch.manual_seed(0)
    module = allocate(without_head(classifier(name)))
    compare(module, (3, side, side), layer, name.startswith("swin"))


@pytest.mark.parametrize(
    ("name", "layer"),
    others_slow(
        [
            ("deeplabv3_mobilenet_v3_large", "classifier"),
            ("lraspp_mobilenet_v3_large", "classifier"),
            ("deeplabv3_resnet50", "classifier.0.convs.1"),
            ("fcn_resnet50", "backbone.layer2"),
        ],
        "lraspp_mobilenet_v3_large",
    ),
)
def test_dilated_segmentation_models(name, layer):
    """On an odd image size too, units read exactly the pixels with a gradient."""
    torch.manual_seed(0)
    compare(allocate(segmenter(name)), (3, 57, 65), layer)


def test_the_output_of_a_dictionary_is_its_first_map():
    """A segmentation model's output has the field of its classifier, resized to the image."""
    module = segmenter("fcn_resnet50", aux_loss=True)
    field, before = (receptive_field(module, (3, 65, 65), x) for x in (None, "classifier"))
    assert field.stride == (Fraction(8 * 9, 65),) * 2
    assert before.size[0] < field.size[0] <= before.size[0] + 2 * 8


@pytest.mark.parametrize("name", ["resnet18", "vit_b_32", "swin_t", "mobilenet_v3_small"])
def test_macs_are_half_of_the_flops_that_torch_counts(name):
    """PyTorch's `FlopCounterMode` counts two operations for each MAC."""
    module = classifier(name).to(device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(torch.empty(1, *IMAGE, device="meta"))
    assert analyze(module, IMAGE).macs * 2 == counter.get_total_flops()


@pytest.mark.parametrize(
    ("name", "layer", "stride"),
    [
        ("fasterrcnn_resnet50_fpn", "backbone.body.layer4", 32),
        ("retinanet_resnet50_fpn", "backbone.body.layer3", 16),
        ("fcos_resnet50_fpn", "backbone.body.layer3", 16),
        ("ssd300_vgg16", "backbone.features.22", 8),
        ("maskrcnn_resnet50_fpn", "backbone.body.layer4", 32),
        ("keypointrcnn_resnet50_fpn", "rpn.head.conv", 64),
    ],
)
def test_detectors_are_analyzed_up_to_their_boxes(name, layer, stride):
    """Backbone and heads have rows; the analysis stops where boxes are chosen by their scores."""
    with Weightless():
        module = torchvision.models.get_model(name, weights=None, weights_backbone=None).eval()
    module.transform.min_size, module.transform.max_size = (256,), 256
    analysis = analyze(module, (3, 256, 256))
    assert analysis.stopped_at.startswith(("aten.nonzero", "aten.index"))
    assert analysis.num_params == sum(p.numel() for p in module.parameters())
    assert any("head" in row.path and row.macs for row in analysis)
    found = receptive_field(module, (3, 256, 256), layer)
    if name != "ssd300_vgg16":  # it resizes to 300
        assert (found.local or found).stride == (stride, stride)
