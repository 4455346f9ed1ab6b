"""Models of transformers and diffusers, small ones with random weights."""

from __future__ import annotations

import json

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from mnistzoo import MnistZooError, analyze
from mnistzoo.cli import app

pytestmark = pytest.mark.slow  # importing the libraries takes longer than the tests

TOKENS = torch.zeros(1, 16, dtype=torch.long)
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT = {**SMALL, "intermediate_size": 128, "vocab_size": 100}
SIDE = {"image_size": 64, "patch_size": 16}


def bert(library):
    """A text encoder."""
    return library.BertModel(library.BertConfig(**TEXT)), {"input_ids": TOKENS}


def clip(library):
    """An encoder of text and one of images."""
    vision = {**SMALL, **SIDE, "intermediate_size": 128}
    config = library.CLIPConfig(text_config=TEXT, vision_config=vision)
    return library.CLIPModel(config), {"pixel_values": (3, 64, 64), "input_ids": TOKENS}


def whisper(library):
    """An encoder of sound and a decoder of text."""
    config = library.WhisperConfig(
        **{f"{part}_layers": 2 for part in ("encoder", "decoder")},
        **{f"{part}_attention_heads": 4 for part in ("encoder", "decoder")},
        **{f"{part}_ffn_dim": 128 for part in ("encoder", "decoder")},
        **{f"{name}_token_id": 0 for name in ("pad", "bos", "eos", "decoder_start")},
        d_model=64,
        vocab_size=100,
        max_source_positions=50,
    )
    inputs = {"input_features": (80, 100), "decoder_input_ids": TOKENS}
    return library.WhisperModel(config), inputs


def segformer(library):
    """A segmentation model, as it is by default."""
    config = library.SegformerConfig()
    return library.SegformerForSemanticSegmentation(config), (3, 64, 64)


def detr(library):
    """A detector without a choice of boxes."""
    backbone = library.ResNetConfig(depths=[1, 1, 1, 1], out_features=["stage4"])
    config = library.DetrConfig(
        use_timm_backbone=False,
        backbone=None,
        backbone_config=backbone,
        encoder_layers=1,
        decoder_layers=1,
        d_model=64,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
    )
    return library.DetrForObjectDetection(config), (3, 128, 128)


def sam(library):
    """A segmentation model of an image and a point."""
    vision = {**SMALL, **SIDE, "global_attn_indexes": [1], "window_size": 2, "mlp_dim": 128}
    config = library.SamConfig(
        vision_config={**vision, "output_channels": 32, "num_pos_feats": 16},
        prompt_encoder_config={**SIDE, "hidden_size": 32},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 4},
    )
    points = torch.zeros(1, 1, 1, 2)
    return library.SamModel(config), {"pixel_values": (3, 64, 64), "input_points": points}


def unet(library):
    """A denoiser of latent images, conditioned on text."""
    model = library.UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        layers_per_block=1,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    text, step = (5, 32), torch.tensor([1])
    return model, {"sample": (4, 16, 16), "timestep": step, "encoder_hidden_states": text}


def filled(inputs):
    """Return arguments for a call: tensors of zeros for shapes."""
    named = inputs if isinstance(inputs, dict) else {"pixel_values": inputs}
    return {key: torch.zeros(1, *x) if isinstance(x, tuple) else x for key, x in named.items()}


@pytest.mark.filterwarnings("ignore")  # those of the libraries
@pytest.mark.parametrize(
    ("library", "build", "field"),
    [
        ("transformers", bert, "1 (global: 16)"),
        ("transformers", clip, "16×16"),
        ("transformers", whisper, "5 (global: 100)"),
        ("transformers", segformer, "363×363 (global: 64×64)"),
        ("transformers", detr, "75×75 (global: 128×128)"),
        ("transformers", sam, None),
        ("diffusers", unet, "62×62 (global: 16×16)"),
    ],
)
def test_counts_are_those_of_torch(library, build, field):
    """Parameters equal `numel`, MACs half of the operations that torch counts, in every block."""
    model, inputs = build(pytest.importorskip(library, reason="not a dependency of the package"))
    found = analyze(model.eval(), inputs)
    assert found.num_params == sum(parameter.numel() for parameter in model.parameters())
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.requires_grad_(False)(**filled(inputs))  # its fused attention is not counted
    assert 2 * found.macs == counter.get_total_flops()
    assert found.stopped_at is None
    assert field is None or str(found.receptive_field) == field
    assert sum(block.row.macs for block in found.blocks(1).children) == found.macs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "shape"),
    [("ResNetModel", [3, 224, 224]), ("BertModel", [128]), ("T5Model", [128])],
)
def test_a_class_on_the_command_line(name, shape):
    """The command builds a class's default configuration, and makes images or token IDs."""
    library = pytest.importorskip("transformers", reason="not a dependency of the package")
    command = ["analyze", f"transformers:{name}", "--format", "json"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    found = json.loads(result.stdout)
    kind = getattr(library, name)
    assert found["input_shape"] == shape
    assert found["num_params"] == kind(kind.config_class()).num_parameters()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("BertModl", "Did you mean 'BertModel'"),
        ("AutoModel", "Expected a class with a default configuration"),
        ("WhisperModel", "--input input_features="),
    ],
)
def test_a_class_that_the_command_cannot_build(name, message):
    """The error suggests a name, or what to pass."""
    pytest.importorskip("transformers", reason="not a dependency of the package")
    with pytest.raises(MnistZooError, match=message):
        CliRunner().invoke(app, ["analyze", f"transformers:{name}"], catch_exceptions=False)
