r"""Exchange with diffusers, both ways: tensors bit for bit, outputs, and what is refused.

Every pipeline here is built by diffusers itself, with random weights, and written by it,
but for the older layout, which no diffusers of today writes.
"""

import json
import subprocess
import sys
import types
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import ddpm_lite
from ddpm_lite import Schedule, UNet, UNetConfig, from_diffusers, load_model, save_model
from ddpm_lite.commands import main as cli
from ddpm_lite.formats import verify as verify_module
from ddpm_lite.formats.checkpoint import Pretrained
from ddpm_lite.formats.diffusers import open_model, to_diffusers
from ddpm_lite.formats.diffusers_files import is_diffusers
from ddpm_lite.formats.verify import verify
from ddpm_lite.training.experiment import start_from

pytest.importorskip("diffusers")
from diffusers import DDIMPipeline, DDPMPipeline
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.utils import logging

logging.set_verbosity_error()
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

WEIGHTS = "diffusion_pytorch_model"
SMALL = dict(  # the shape of the paper's network, with its conventions
    sample_size=16,
    in_channels=3,
    out_channels=3,
    freq_shift=1,
    flip_sin_to_cos=False,
    down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    block_out_channels=(8, 16, 16),
    layers_per_block=2,
    downsample_padding=0,
    attention_head_dim=None,
    norm_num_groups=4,
    norm_eps=1e-6,
    dropout=0.1,
)
TWO = dict(  # two levels, for what is not about levels
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    block_out_channels=(8, 16),
    layers_per_block=1,
    sample_size=8,
)
SHIFT = dict(resnet_time_scale_shift="scale_shift", attn_norm_num_groups=4)
UNETS = {
    "paper": {},
    "class-conditional": TWO | dict(num_class_embeds=4),
    "learned-variance": TWO | dict(out_channels=6),
    "scale-shift": TWO | SHIFT,
    "odd": dict(
        SHIFT,
        sample_size=[12, 20],
        in_channels=2,
        out_channels=4,
        freq_shift=0,
        flip_sin_to_cos=True,
        down_block_types=("AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D"),
        block_out_channels=(12, 36),
        layers_per_block=1,
        downsample_padding=1,
        attention_head_dim=6,
        norm_num_groups=6,
        attn_norm_num_groups=6,
        norm_eps=1e-3,
        dropout=0.0,
        num_class_embeds=3,
    ),
    "tiny-pictures": TWO | dict(sample_size=4, in_channels=1, out_channels=1),
    "one-level": dict(
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        block_out_channels=(8,),
        sample_size=7,
    ),
}
SCHEDULERS = {
    "paper": dict(variance_type="fixed_large"),
    "class-conditional": dict(beta_schedule="squaredcos_cap_v2", clip_sample=False),
    "learned-variance": dict(variance_type="learned_range", num_train_timesteps=200),
    "scale-shift": dict(prediction_type="v_prediction", rescale_betas_zero_snr=True),
    "odd": dict(
        variance_type="learned_range", prediction_type="sample", beta_schedule="sigmoid"
    ),
    "tiny-pictures": dict(trained_betas=[0.01, 0.02, 0.5], num_train_timesteps=3),
    "one-level": dict(beta_schedule="scaled_linear", variance_type="fixed_small_log"),
}
EVERY = pytest.mark.parametrize("name", UNETS)


def theirs(name="paper", seed=0, **changes):
    r"""A network of diffusers, with random weights."""
    torch.manual_seed(seed)
    return UNet2DModel(**SMALL | UNETS[name] | changes).eval()


def write(folder, name="paper", scheduler=None, **changes):
    r"""A folder as diffusers writes it. Returns its network."""
    unet = theirs(name, **changes)
    scheduler = scheduler or DDPMScheduler(**SCHEDULERS[name])
    DDPMPipeline(unet, scheduler).save_pretrained(folder)
    return unet


def classes_of(name):
    return dict(null_class=True) if UNETS[name].get("num_class_embeds") else {}


def same_tensors(ours, theirs):
    ours, theirs = (m if isinstance(m, dict) else m.state_dict() for m in (ours, theirs))
    assert list(ours) == list(theirs) or set(ours) == set(theirs)
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)


def edit(file, **changes):
    r"""Change fields of a JSON file; None removes one."""
    fields = json.loads(file.read_text()) | changes
    fields = {k: v for k, v in fields.items() if v is not REMOVED}
    file.write_text(json.dumps(fields))


REMOVED = object()


# There.


def test_conventions_of_the_paper_and_the_odd_one(tmp_path):
    write(tmp_path / "paper")
    assert from_diffusers(tmp_path / "paper").model.unet_config == UNetConfig(
        size=16, width=8, multipliers=(1, 2, 2), attention=(8,), groups=4
    )  # all else is the default
    write(tmp_path / "odd", "odd")
    c = from_diffusers(tmp_path / "odd", null_class=True).model.unet_config
    assert c == UNetConfig(
        size=(12, 20),
        channels=2,
        width=12,
        multipliers=(1, 3),
        blocks=1,
        attention=(12,),
        head_width=6,
        dropout=0.0,
        groups=6,
        eps=1e-3,
        down_padding="both",
        sine_first=False,
        frequency_shift=0,
        t_shift=1,
        scale_shift=True,
        classes=2,
        prediction="x_0",
        learned_variance=True,
        T=1000,
    )


@EVERY
def test_a_pipeline_comes_in_bit_for_bit_and_is_verified(tmp_path, name):
    unet = write(tmp_path, name)
    found = from_diffusers(tmp_path, **classes_of(name))
    same_tensors(found.model, unet)
    assert not found.model.training and isinstance(found.model, UNet)
    c, settings = found.model.unet_config, SMALL | UNETS[name]
    assert found.config["unet"] == c.as_dict()
    assert c.widths == tuple(settings["block_out_channels"]) and c.t_shift == 1
    assert found.schedule.T == c.T == SCHEDULERS[name].get("num_train_timesteps", 1000)
    kind = SCHEDULERS[name].get("prediction_type", "epsilon")
    assert c.prediction == {"epsilon": "noise", "sample": "x_0", "v_prediction": "v"}[kind]
    assert found.config["clip"] is SCHEDULERS[name].get("clip_sample", True)
    verified = verify(tmp_path, found)
    print(f"\n{name}: {verified}")
    assert 0 <= verified.network <= 1e-5 and 0 <= verified.sampling <= 1e-3
    assert verified.steps == min(10, c.T) and verified.sampler == "ancestral"


def test_schedules_are_those_of_diffusers_in_float64(tmp_path):
    for i, (name, kind) in enumerate(
        [
            ("linear", {}),
            ("cosine", dict(beta_schedule="squaredcos_cap_v2")),
            (None, dict(beta_schedule="scaled_linear")),
            (None, dict(beta_schedule="sigmoid", beta_end=0.03)),
            (None, dict(rescale_betas_zero_snr=True)),
            (None, dict(beta_schedule="linear", beta_end=0.05)),
            (None, dict(num_train_timesteps=4, trained_betas=[0.1, 0.2, 1 / 3, 0.9])),
        ]
    ):
        other = DDPMScheduler(**kind)
        write(tmp_path / str(i), "one-level", other)
        found = from_diffusers(tmp_path / str(i))
        close = dict(rtol=2e-5, atol=1e-7)
        # theirs are differences of numbers near 1, after up to eight operations (where the
        # signal is rescaled) that float32 rounds by 1.2e-7 at most
        torch.testing.assert_close(
            found.schedule.beta[1:], other.betas.double(), rtol=2e-3, atol=1e-6
        )
        torch.testing.assert_close(
            found.schedule.alpha_bar[1:], other.alphas_cumprod.double(), **close
        )
        assert found.config.get("schedule") == name
    assert found.schedule.beta[1:].tolist() == [0.1, 0.2, 1 / 3, 0.9]  # not as float32
    rescaled = from_diffusers(tmp_path / "4").schedule
    assert rescaled.alpha_bar[-1] == 0 and rescaled.beta[-1] == 1


def test_a_ddim_pipeline_and_fields_that_another_scheduler_left(tmp_path):
    unet = theirs("one-level")
    pipeline = DDIMPipeline(unet, DDPMScheduler(variance_type="fixed_large"))
    pipeline.save_pretrained(tmp_path / "a")  # its scheduler's file has variance_type
    DDIMPipeline(unet, DDIMScheduler(clip_sample=False)).save_pretrained(tmp_path / "b")
    for folder, clip in (("a", True), ("b", False)):
        found = from_diffusers(str(tmp_path / folder))
        same_tensors(found.model, unet)
        assert found.config["clip"] is clip and "variance" not in found.config
        assert verify(tmp_path / folder, found).sampler == "ddim"


def test_the_variance_goes_with_the_folder(tmp_path):
    for kind, ours in (("fixed_small", "small"), ("fixed_large", "large")):
        write(tmp_path / kind, "one-level", DDPMScheduler(variance_type=kind))
        found = from_diffusers(tmp_path / kind)
        assert found.config["variance"] == ours
        wrong = replace(found, config=found.config | {"variance": "large"})
        if ours == "small":
            with pytest.raises(ValueError, match="is not what diffusers makes of it"):
                verify(tmp_path / kind, wrong)


def test_a_network_alone_needs_what_it_does_not_say(tmp_path):
    unet = write(tmp_path / "whole", "one-level")
    unet.save_pretrained(tmp_path / "alone")
    said = dict(schedule=Schedule.cosine(50), prediction="v", clip=True)
    found = from_diffusers(tmp_path / "alone", **said)
    same_tensors(found.model, unet)
    assert found.schedule.T == found.model.T == 50 and found.model.prediction == "v"
    assert verify(tmp_path / "alone", found).network <= 1e-5
    with pytest.raises(ValueError, match="does not say schedule, prediction, clip: give"):
        from_diffusers(tmp_path / "alone")
    with pytest.raises(ValueError, match=r"does not say clip: name whole/ instead"):
        from_diffusers(tmp_path / "whole" / "unet", **said | {"clip": None})
    with pytest.raises(ValueError, match="says the prediction: leave prediction= out"):
        from_diffusers(tmp_path / "whole", prediction="noise")
    with pytest.raises(ValueError, match="prediction must be one of noise, x_0, v"):
        from_diffusers(tmp_path / "alone", **said | {"prediction": "epsilon"})
    with pytest.raises(ValueError, match="clip must be True or False, got"):
        from_diffusers(tmp_path / "alone", **said | {"clip": (-1, 1)})
    theirs("learned-variance").save_pretrained(tmp_path / "two")
    with pytest.raises(ValueError, match="needs a scheduler with variance_type learned_r"):
        from_diffusers(tmp_path / "two", **said)


def test_classes_without_no_class(tmp_path):
    unet = write(tmp_path / "a", "class-conditional")
    with pytest.raises(ValueError, match="a table of 4 classes and does not say whether"):
        from_diffusers(tmp_path / "a")
    found = from_diffusers(tmp_path / "a", null_class=False)
    table = found.model.class_embedding.weight
    assert found.model.classes == 4 and table.shape == (5, 32)
    assert torch.equal(table[:4], unet.class_embedding.weight) and not table[4].any()
    assert verify(tmp_path / "a", found).network <= 1e-5
    to_diffusers(found, tmp_path / "b")
    same_tensors(UNet2DModel.from_pretrained(tmp_path / "b" / "unet"), unet)
    again = from_diffusers(tmp_path / "b")
    same_tensors(again.model, found.model)
    with pytest.raises(ValueError, match="says null_class False, and you say True"):
        from_diffusers(tmp_path / "b", null_class=True)
    write(tmp_path / "c", "one-level")
    with pytest.raises(ValueError, match="has no classes: leave null_class out"):
        from_diffusers(tmp_path / "c", null_class=True)
    write(tmp_path / "d", "one-level", num_class_embeds=1)
    with pytest.raises(ValueError, match="num_class_embeds must be an integer >= 2, got 1"):
        from_diffusers(tmp_path / "d", null_class=True)


# The older layout: one folder, a .bin, the fields of 0.0.4, the attention's old names.

OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
OLD_SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "_diffusers_version": "0.1.1",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "clip_sample": True,
    "num_train_timesteps": 1000,
    "trained_betas": None,
    "variance_type": "fixed_large",
}


def old_fields(unet):
    names = """sample_size in_channels out_channels center_input_sample freq_shift
        time_embedding_type flip_sin_to_cos down_block_types up_block_types norm_eps
        block_out_channels layers_per_block mid_block_scale_factor downsample_padding
        act_fn attention_head_dim norm_num_groups""".split()
    head = {"_class_name": "UNet2DModel", "_diffusers_version": "0.0.4"}
    return head | {name: unet.config[name] for name in names}


def old_tensors(unet):
    tensors = {}
    for name, tensor in unet.state_dict().items():
        for new, old in OLD_NAMES.items():
            name = name.replace(f".{new}.", f".{old}.") if "attentions" in name else name
        tensors[name] = tensor.clone()
    return tensors


def write_old(folder, index=True, suffix="bin"):
    folder.mkdir()
    unet = theirs(dropout=0.0)
    (folder / "config.json").write_text(json.dumps(old_fields(unet)))
    (folder / "scheduler_config.json").write_text(json.dumps(OLD_SCHEDULER))
    about = {"_class_name": "DDPMPipeline", "_diffusers_version": "0.1.1"}
    about |= {"scheduler": ["diffusers", "DDPMScheduler"]}
    about |= {"unet": ["diffusers", "UNet2DModel"]}
    if index:
        (folder / "model_index.json").write_text(json.dumps(about))
    if suffix == "bin":
        torch.save(old_tensors(unet), folder / f"{WEIGHTS}.bin")
    else:
        save_file(old_tensors(unet), folder / f"{WEIGHTS}.safetensors")
    return unet


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_the_older_layout(tmp_path, index, suffix):
    unet = write_old(tmp_path / "a", index, suffix)
    assert any(".proj_attn." in name for name in old_tensors(unet))
    found = from_diffusers(tmp_path / "a")
    same_tensors(found.model, unet)
    c = found.model.unet_config
    assert c.eps == 1e-6 and c.sine_first and c.down_padding == "right" and c.dropout == 0
    assert found.config["variance"] == "large" and found.config["schedule"] == "linear"
    assert not (suffix == "bin" and index) or verify(tmp_path / "a", found)


def test_names_from_before_the_first_release(tmp_path):
    unet = write_old(tmp_path / "a")
    fields = old_fields(unet)
    fields |= {"_class_name": "UNetUnconditionalModel", "_diffusers_version": "0.0.2"}
    for old, new in (
        ("image_size", "sample_size"),
        ("num_res_blocks", "layers_per_block"),
        ("downscale_freq_shift", "freq_shift"),
        ("resnet_num_groups", "norm_num_groups"),
        ("resnet_act_fn", "act_fn"),
        ("resnet_eps", "norm_eps"),
        ("num_head_channels", "attention_head_dim"),
        ("down_blocks", "down_block_types"),
        ("up_blocks", "up_block_types"),
    ):
        fields[old] = fields.pop(new)
    for name in ("down_blocks", "up_blocks"):
        fields[name] = [f"UNetRes{kind}" for kind in fields[name]]
    del fields["block_out_channels"]
    fields |= {"ch": 8, "ch_mult": [1, 2, 2], "resolution": 16}
    (tmp_path / "a" / "config.json").write_text(json.dumps(fields))
    scheduler = OLD_SCHEDULER | {"_class_name": "GaussianDDPMScheduler", "timesteps": 1000}
    scheduler["clip_predicted_image"] = scheduler.pop("clip_sample")
    del scheduler["num_train_timesteps"]
    (tmp_path / "a" / "scheduler_config.json").write_text(json.dumps(scheduler))
    tensors = {
        name.replace("mid_block.", "mid.").replace("up_blocks.", "upsample_blocks."): value
        for name, value in old_tensors(unet).items()
    }
    torch.save(tensors, tmp_path / "a" / f"{WEIGHTS}.bin")
    found = from_diffusers(tmp_path / "a")
    same_tensors(found.model, unet)
    assert found.config["clip"] is True
    edit(tmp_path / "a" / "config.json", resolution=32)
    with pytest.raises(ValueError, match="says 'sample_size' twice, differently"):
        from_diffusers(tmp_path / "a")
    edit(tmp_path / "a" / "config.json", resolution=16, ch=4)
    with pytest.raises(ValueError, match="do not fit its config"):
        from_diffusers(tmp_path / "a")
    tensors["down_blocks.1.attentions.0.to_q.weight"] = torch.zeros(16, 16)
    torch.save(tensors, tmp_path / "a" / f"{WEIGHTS}.bin")
    with pytest.raises(ValueError, match=r"has the tensor down_blocks.*to_q\.weight twice"):
        from_diffusers(tmp_path / "a")


def test_predict_epsilon_is_the_prediction_type_of_0_8(tmp_path):
    write_old(tmp_path / "a")
    file = tmp_path / "a" / "scheduler_config.json"
    edit(file, _diffusers_version="0.8.1", predict_epsilon=False)
    assert from_diffusers(tmp_path / "a").model.prediction == "x_0"
    edit(file, predict_epsilon=True, tensor_format="pt", timestep_values=None)
    assert from_diffusers(tmp_path / "a").model.prediction == "noise"
    edit(file, predict_epsilon=REMOVED)
    with pytest.raises(ValueError, match=r"has no 'prediction_type', which .* 0\.8\.1 wri"):
        from_diffusers(tmp_path / "a")


# What is refused, and by which name.

UNET_WRONG = [
    (dict(center_input_sample=True), "center_input_sample must be false, got True"),
    (dict(time_embedding_type="fourier"), 'time_embedding_type must be "positional", got'),
    (dict(time_embedding_dim=16), "time_embedding_dim must be null or 32, got 16"),
    (dict(mid_block_type=None), "mid_block_type must be"),
    (dict(mid_block_scale_factor=1.5), "mid_block_scale_factor must be 1, got"),
    (dict(downsample_type="resnet"), 'downsample_type must be "conv", got'),
    (dict(upsample_type="resnet"), 'upsample_type must be "conv", got'),
    (dict(downsample_padding=2), "downsample_padding must be 0 or 1, got 2"),
    (dict(downsample_padding=True), "downsample_padding must be 0 or 1, got True"),
    (dict(flip_sin_to_cos=1), "flip_sin_to_cos must be true or false, got 1"),
    (dict(freq_shift=2), "freq_shift must be 0 or 1, got 2"),
    (dict(act_fn="gelu"), "act_fn must be"),
    (dict(add_attention=False), "add_attention must be true, got False"),
    (dict(class_embed_type="timestep"), "class_embed_type must be null, got"),
    (dict(resnet_time_scale_shift="spatial"), "resnet_time_scale_shift must be"),
    (dict(resnet_time_scale_shift="scale_shift"), "attn_norm_num_groups must be norm_num"),
    (dict(attn_norm_num_groups=2), "attn_norm_num_groups must be norm_num_groups = 4, got"),
    (dict(out_channels=4), "out_channels must be 3 or 6, got 4"),
    (dict(out_channels=6), "out_channels = 6 for 3 channels needs a scheduler with"),
    (dict(sample_size=None), "sample_size must be an integer >= 1, got None"),
    (dict(sample_size=18), "the height of pictures must be a multiple of 4"),
    (dict(block_out_channels=[8, 12, 16]), "must be whole multiples of the first of them"),
    (dict(block_out_channels="8"), "must be whole multiples of the first of them"),
    (dict(block_out_channels=[8, 16]), "one of down_block_types for each of the 2 block"),
    (dict(up_block_types=["UpBlock2D"] * 3), "up_block_types in the other order"),
    (dict(down_block_types=["SkipDownBlock2D"] * 3), "down_block_types must be one of"),
    (dict(norm_num_groups=3, attn_norm_num_groups=3), "a multiple of groups = 3"),
    (dict(num_class_embeds=4), "a table of 4 classes and does not say"),
    (dict(layers_per_block="2"), "blocks must be an integer >= 1, got '2'"),
    (dict(norm_eps=None), "config.json: "),
    (dict(new_field=3), "new_field = 3 is a field that this package does not know"),
    (dict(norm_eps=REMOVED), r"has no 'norm_eps', which diffusers [\d.]+ writes: add it"),
    (dict(attention_head_dim=REMOVED), "has no 'attention_head_dim'"),
    (dict(dropout=REMOVED), "has no 'dropout'"),
    (dict(mid_block_type=REMOVED), "has no 'mid_block_type'"),
    (dict(_diffusers_version=REMOVED), "has no '_diffusers_version'"),
    (dict(_diffusers_version="new"), "_diffusers_version must be like 0.42.1, got 'new'"),
    (dict(_class_name="UNet2DConditionModel"), "_class_name must be UNet2DModel, got"),
    (dict(_class_name=REMOVED), "has no '_class_name'"),
]
SCHEDULER_WRONG = [
    (dict(_class_name="PNDMScheduler"), "make them the same"),
    (
        dict(prediction_type="flow"),
        'prediction_type must be "epsilon" or "sample" or "v_pr',
    ),
    (dict(prediction_type=REMOVED), "has no 'prediction_type'"),
    (dict(timestep_spacing="quadratic"), "timestep_spacing must be"),
    (dict(timestep_spacing=REMOVED), "has no 'timestep_spacing'"),
    (dict(steps_offset=-1), "steps_offset must be an integer >= 0, got -1"),
    (dict(steps_offset=REMOVED), "has no 'steps_offset'"),
    (
        dict(variance_type="learned"),
        'variance_type must be "fixed_small" or .*got .learned',
    ),
    (dict(variance_type="fixed_large_log"), "variance_type must be"),
    (dict(variance_type="learned_range"), "needs a scheduler with variance_type fixed_s"),
    (dict(variance_type=REMOVED), "has no 'variance_type'"),
    (dict(beta_schedule="laplace"), "beta_schedule must be one of linear, scaled_linear"),
    (dict(beta_start=0), r"beta_start must lie in \(0, 1\], got 0"),
    (dict(beta_end=None), "scheduler_config.json: "),
    (dict(trained_betas=[0.1]), "num_train_timesteps, as trained_betas has it"),
    (dict(trained_betas=[0.1, 2.0]), r"every beta must lie in \(0, 1\)"),
    (dict(num_train_timesteps=0), "num_train_timesteps must be an integer >= 1, got 0"),
    (dict(num_train_timesteps=REMOVED), "has no 'num_train_timesteps'"),
    (dict(clip_sample=REMOVED), "has no 'clip_sample'"),
    (dict(clip_sample_range=2.0), "clip_sample_range must be 1, got 2.0"),
    (dict(clip_sample=None), "clip_sample must be true or false, got None"),
    (dict(thresholding=True), "thresholding must be false, got True"),
    (dict(rescale_betas_zero_snr="no"), "rescale_betas_zero_snr must be true or false"),
    (dict(timestep_values=[1, 2]), "timestep_values must be null"),
    (dict(sigma_data=0.5), "sigma_data = 0.5 is a field that this package does not know"),
]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    r"""A good folder; each test that breaks one file of it puts it back."""
    folder = tmp_path_factory.mktemp("pipeline")
    write(folder)
    return folder


def refuses(good, file, changes, message):
    whole = file.read_text()
    try:
        edit(file, **changes)
        with pytest.raises(ValueError, match=message) as caught:
            from_diffusers(good)
        assert str(good) in str(caught.value)  # the file that is to be changed
    finally:
        file.write_text(whole)


@pytest.mark.parametrize(("changes", "message"), UNET_WRONG)
def test_a_field_of_the_network_that_is_missing_or_wrong(good, changes, message):
    refuses(good, good / "unet" / "config.json", changes, message)


@pytest.mark.parametrize(("changes", "message"), SCHEDULER_WRONG)
def test_a_field_of_the_scheduler_that_is_missing_or_wrong(good, changes, message):
    refuses(good, good / "scheduler" / "scheduler_config.json", changes, message)


def test_every_field_that_diffusers_writes_is_asked_for(good):
    written = 0
    for file in ("unet/config.json", "scheduler/scheduler_config.json"):
        for name in json.loads((good / file).read_text()):
            if name != "_name_or_path":
                refuses(good, good / file, {name: REMOVED}, f"{name}|make them the same")
                written += 1
    assert written == 30 + 17  # with _class_name and _diffusers_version


def test_fields_of_ddim(tmp_path):
    DDIMPipeline(theirs("one-level"), DDIMScheduler()).save_pretrained(tmp_path)
    file = tmp_path / "scheduler" / "scheduler_config.json"
    refuses(tmp_path, file, dict(set_alpha_to_one=False), "set_alpha_to_one must be true")
    refuses(tmp_path, file, dict(set_alpha_to_one=REMOVED), "has no 'set_alpha_to_one'")
    unet = theirs("learned-variance")
    unet.save_pretrained(tmp_path / "unet")
    with pytest.raises(ValueError, match="here it is not said by a DDIMScheduler"):
        from_diffusers(tmp_path)


def test_other_pipelines_and_schedulers(good):
    index = good / "model_index.json"
    message = "must say _class_name DDPMPipeline or DDIMPipeline, got 'LDMPipeline'"
    refuses(good, index, dict(_class_name="LDMPipeline"), message)
    refuses(good, index, dict(unet=REMOVED), "has no 'unet': this pipeline is not whole")
    both = dict(scheduler=["diffusers", "PNDMScheduler"])
    refuses(good, index, both, "says that the scheduler is a PNDMScheduler, and")
    file = good / "scheduler" / "scheduler_config.json"
    whole = index.read_text()
    edit(index, **both)
    message = "_class_name must be DDPMScheduler or DDIMScheduler, got 'PNDMScheduler'"
    refuses(good, file, dict(_class_name="PNDMScheduler"), message)
    index.write_text(whole)


def test_a_version_without_a_field_is_no_error_and_an_unreleased_one_neither(good):
    file = good / "unet" / "config.json"
    whole = file.read_text()
    edit(
        file,
        _diffusers_version="0.32.0.dev0",
        mid_block_type=REMOVED,
        time_embedding_dim=REMOVED,
    )
    from_diffusers(good)
    edit(file, _diffusers_version="0.32.2")
    with pytest.raises(ValueError, match="has no 'time_embedding_dim'"):
        from_diffusers(good)
    gone = dict.fromkeys(
        ("attn_norm_num_groups", "dropout", "num_train_timesteps"), REMOVED
    )
    shift = dict(resnet_time_scale_shift="scale_shift", time_embedding_dim=REMOVED)
    edit(file, _diffusers_version="0.17.1", **gone | shift)
    with pytest.raises(ValueError, match="the middle has no normalisation"):
        from_diffusers(good)
    edit(file, _diffusers_version="0.16.1")  # before that, it had one
    with pytest.raises(ValueError, match=r"time_emb_proj.* must have shape"):
        from_diffusers(good)
    file.write_text(whole)


def test_what_is_not_there(tmp_path, good):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere: expected one that"):
        from_diffusers(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"has neither model_index\.json nor"):
        from_diffusers(tmp_path)
    (tmp_path / "config.json").write_text('{"data": "digits"}')
    said = dict(schedule=Schedule.linear(9), prediction="noise", clip=True)
    with pytest.raises(ValueError, match="has no '_class_name'"):
        from_diffusers(tmp_path, **said)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not whole"):
        from_diffusers(tmp_path, **said)
    for name in ("unet/config.json", "scheduler/scheduler_config.json"):
        whole = (good / name).read_text()
        (good / name).unlink()
        with pytest.raises(FileNotFoundError, match=r"no file .*config\.json"):
            from_diffusers(good)
        (good / name).write_text(whole)


# Files of weights that are missing, broken, or more than tensors.


class Evil:
    r"""What a pickle may hold: a call."""

    def __reduce__(self):
        return print, ("this was run",)


def test_files_of_weights(tmp_path, capsys):
    write_old(tmp_path / "a")
    file = tmp_path / "a" / f"{WEIGHTS}.bin"
    tensors = torch.load(file, weights_only=True)
    torch.save(tensors | {"conv_in.weight": Evil()}, file)
    with pytest.raises(ValueError, match=r"\.bin cannot be read as plain tensors"):
        from_diffusers(tmp_path / "a")
    assert "this was run" not in capsys.readouterr().out
    torch.save([1, 2], file)
    with pytest.raises(ValueError, match="must hold a dictionary of tensors"):
        from_diffusers(tmp_path / "a")
    torch.save(tensors | {"step": 3}, file)
    with pytest.raises(ValueError, match="must hold a dictionary of tensors"):
        from_diffusers(tmp_path / "a")
    torch.save(tensors, file)
    for kept in (0, 10, 5000):
        file.write_bytes(file.read_bytes()[:kept])
        with pytest.raises(ValueError, match=r"\.bin cannot be read as plain tensors"):
            from_diffusers(tmp_path / "a")
        torch.save(tensors, file)
    file.rename(tmp_path / "a" / f"{WEIGHTS}.bin.index.json")
    with pytest.raises(FileNotFoundError, match=r"in one piece; it has .*bin\.index\.json"):
        from_diffusers(tmp_path / "a")


def test_truncated_and_foreign_safetensors(good):
    file = good / "unet" / f"{WEIGHTS}.safetensors"
    whole, tensors = file.read_bytes(), load_file(file)
    for kept in (0, 7, 1000, len(whole) - 1):
        file.write_bytes(whole[:kept])
        with pytest.raises(ValueError, match="safetensors cannot be read as plain tensors"):
            from_diffusers(good)
    bias = tensors.pop("conv_in.bias")
    save_file(tensors, file)
    with pytest.raises(ValueError, match=r"1 of \d+ tensors: conv_in\.bias is missing"):
        from_diffusers(good)
    save_file(tensors | {"conv_in.bias": bias[:3].clone(), "more": bias}, file)
    with pytest.raises(
        ValueError, match=r"more is not known; conv_in\.bias must have shape"
    ):
        from_diffusers(good)
    file.unlink()
    with pytest.raises(FileNotFoundError, match="it has no file of weights"):
        from_diffusers(good)
    file.write_bytes(whole)
    from_diffusers(good)


def test_half_precision_is_read_exactly(tmp_path):
    unet = write(tmp_path, "one-level")
    unet.half().save_pretrained(tmp_path / "unet")
    found = from_diffusers(tmp_path)
    same_tensors(found.model, {k: v.float() for k, v in unet.state_dict().items()})


# The hub, which no test can reach.


def test_a_hub_id(tmp_path, monkeypatch):
    write_old(tmp_path / "hub")
    asked = []

    def snapshot_download(name, allow_patterns):
        asked.append((name, tuple(allow_patterns)))
        if name != "some/model":
            raise ConnectionError("cannot\nreach it")
        return str(tmp_path / "hub")

    module = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.chdir(tmp_path)
    found = from_diffusers("some/model")
    assert found.model.T == 1000
    json_and = [("some/model", ("*.json", f"*.{kind}")) for kind in ("safetensors", "bin")]
    assert asked == json_and  # a .bin only where there is nothing else
    with pytest.raises(FileNotFoundError, match="the hub did not give it: cannot reach it"):
        from_diffusers("other/model")
    for path in ("a/b/c", "nowhere", "/x/y"):
        with pytest.raises(FileNotFoundError, match="expected one that diffusers wrote"):
            from_diffusers(path)
    assert len(asked) == 3
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub"):
        from_diffusers("some/model")


# And back.


def shaken(config, schedule, seed=0, **facts):
    r"""A Pretrained of ours whose layers that start at zero do not."""
    torch.manual_seed(seed)
    model = UNet(config, T=schedule.T).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return Pretrained(model, schedule, {"clip": True} | facts)


TINY = UNetConfig(
    size=8, channels=1, width=8, multipliers=(1, 2), blocks=1, attention=(4,), groups=4
)
OURS = {
    "digits": (TINY, Schedule.cosine(1000), {}),
    "classes": (replace(TINY, classes=3), Schedule.linear(1000), {}),
    "learned": (replace(TINY, learned_variance=True, channels=3), Schedule.cosine(40), {}),
    "iddpm": (
        replace(
            TINY,
            scale_shift=True,
            head_width=4,
            eps=1e-5,
            down_padding="both",
            sine_first=False,
            frequency_shift=0,
            learned_variance=True,
            dropout=0.3,
        ),
        Schedule.linear(100, 1e-3, 0.2),
        {"clip": False},
    ),
    "lecture": (
        replace(TINY, size=(8, 12), prediction="v"),
        Schedule.sigmoid(100, 1e-5, 0.5e-2),
        {"variance": "small"},
    ),
    "uneven": (
        replace(TINY, prediction="x_0", attention=()),
        Schedule.from_beta([0.3, 1e-3, 0.9, 0.001, 0.5, 1.0]),
        {},
    ),
}


@pytest.mark.parametrize("name", OURS)
def test_what_goes_out_is_loaded_by_diffusers_and_comes_back(tmp_path, name):
    config, schedule, facts = OURS[name]
    ours = shaken(config, schedule, **facts)
    folder = to_diffusers(ours, tmp_path / "out")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipeline = DDPMPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
    same_tensors(ours.model, pipeline.unet)
    torch.testing.assert_close(
        pipeline.scheduler.betas.double(), schedule.beta[1:], rtol=1e-5, atol=1e-8
    )
    again = from_diffusers(folder)
    same_tensors(again.model, ours.model)
    # those that go by name are computed anew from their two ends
    torch.testing.assert_close(again.schedule.beta, schedule.beta, rtol=1e-12, atol=0)
    assert replace(again.model.unet_config, zero_init=True) == ours.model.unet_config
    assert again.config["clip"] is ours.config["clip"]
    assert again.config.get("variance", "large") == facts.get("variance", "large")
    verified = verify(folder, again)
    print(f"\n{name}: {verified}")
    assert verified.network <= 1e-5 and verified.sampling <= 1e-3


def test_all_fields_are_those_that_this_diffusers_knows(tmp_path, good):
    folder = to_diffusers(shaken(TINY, Schedule.linear(10)), tmp_path / "out")
    for name in ("unet/config.json", "scheduler/scheduler_config.json", "model_index.json"):
        ours, other = (json.loads((f / name).read_text()) for f in (folder, good))
        assert set(ours) == set(other) - {"_name_or_path"}, name
    assert not list(tmp_path.glob("*.part"))


def test_schedules_that_diffusers_knows_go_by_name(tmp_path):
    for i, (schedule, kind, numbers) in enumerate(
        [
            (Schedule.linear(1000), "linear", None),
            (Schedule.linear(50, 1e-3, 0.3), "linear", None),
            (Schedule.cosine(50), "squaredcos_cap_v2", None),
            (Schedule.cosine(50, s=0.01), "linear", 50),
            (Schedule.sigmoid(7, 0.1, 0.2), "linear", 7),
        ]
    ):
        folder = to_diffusers(shaken(TINY, schedule), tmp_path / str(i))
        fields = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
        assert fields["beta_schedule"] == kind
        betas = fields["trained_betas"]
        assert betas == (schedule.beta[1:].tolist() if numbers else None)


def test_the_pipelines_of_diffusers_run_on_what_we_write(tmp_path):
    for name in ("digits", "learned"):
        config, schedule, facts = OURS[name]
        folder = to_diffusers(shaken(config, schedule, **facts), tmp_path / name)
        kinds = [DDPMPipeline, DDIMPipeline] if name == "digits" else [DDPMPipeline]
        for kind in kinds:  # DDIM of diffusers has no learned variance
            pipeline = kind.from_pretrained(folder, low_cpu_mem_usage=False)
            pipeline.set_progress_bar_config(disable=True)
            pictures = pipeline(2, num_inference_steps=5, output_type="np").images
            assert pictures.shape == (2, 8, 8, config.channels)
            assert (pictures >= 0).all() and (pictures <= 1).all()


def test_what_the_format_cannot_say(tmp_path):
    linear = Schedule.linear(10)
    for config, message in (
        (replace(TINY, t_shift=0), "cannot say t_shift = 0"),
        (replace(TINY, multipliers=(2, 1)), r"cannot say multipliers = \(2, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            to_diffusers(shaken(config, linear), tmp_path / "out")
    points = Pretrained(ddpm_lite.MLP(T=10), linear, {"clip": False})
    with pytest.raises(ValueError, match="networks of pictures only, got a MLP"):
        to_diffusers(points, tmp_path / "out")
    without = replace(shaken(TINY, linear), config={"data": "digits"})
    with pytest.raises(ValueError, match="config must say clip"):
        to_diffusers(without, tmp_path / "out")
    odd = shaken(TINY, linear, variance="learned")
    with pytest.raises(ValueError, match="variance must be one of small, large, got"):
        to_diffusers(odd, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path, monkeypatch):
    ours = shaken(TINY, Schedule.linear(10))
    (tmp_path / "empty").mkdir()
    to_diffusers(ours, tmp_path / "empty")
    with pytest.raises(FileExistsError, match="is there and not empty"):
        to_diffusers(ours, tmp_path / "empty")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="is there and not empty"):
        to_diffusers(ours, tmp_path / "file")

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(ddpm_lite.formats.diffusers, "save_file", full)
    with pytest.raises(OSError, match=r"cannot write the folder .*: No space left"):
        to_diffusers(ours, tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file"]


def test_export_does_not_need_diffusers(tmp_path):
    save_model(tmp_path / "a.safetensors", *without_facts(shaken(TINY, Schedule.linear(9))))
    code = (
        "import sys; sys.modules['diffusers'] = None\n"
        "from ddpm_lite import from_diffusers\n"
        "from ddpm_lite.commands import main as cli\n"
        f"assert cli.main(['export', {str(tmp_path / 'a.safetensors')!r}, '--out', "
        f"{str(tmp_path / 'out')!r}]) == 0\n"
        f"assert from_diffusers({str(tmp_path / 'out')!r}).schedule.T == 9"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def without_facts(found):
    return found.model, found.schedule, found.config


# Proof.


def test_verify_finds_a_wrong_convention(tmp_path):
    r"""Each loads without complaint: libraries.md, table of silent errors."""
    write(tmp_path)
    found = from_diffusers(tmp_path)
    for changes in (
        dict(down_padding="both"),
        dict(sine_first=False),
        dict(frequency_shift=0),
        dict(t_shift=0),
        dict(head_width=4),
        dict(eps=1e-3),
    ):
        wrong = UNet(found.model.unet_config, **changes)
        wrong.load_state_dict(found.model.state_dict())
        with pytest.raises(ValueError, match="outputs of the network differ by"):
            verify(tmp_path, replace(found, model=wrong.eval()))
    other = replace(found, schedule=Schedule.cosine(1000))
    with pytest.raises(ValueError, match="the pictures after 10 steps by"):
        verify(tmp_path, other)
    unclipped = replace(found, config=found.config | {"clip": False})
    with pytest.raises(ValueError, match="the pictures after 10 steps by"):
        verify(tmp_path, unclipped)


def test_verify_without_diffusers_and_with_a_folder_that_it_cannot_load(
    tmp_path, monkeypatch
):
    write(tmp_path, "one-level")
    found = from_diffusers(tmp_path)
    monkeypatch.setattr(UNet2DModel, "from_pretrained", lambda *a, **k: 1 / 0)
    with pytest.raises(ValueError, match=r"diffusers cannot load .*division by zero"):
        verify(tmp_path, found)
    monkeypatch.setitem(sys.modules, "diffusers.models.unets.unet_2d", None)
    with pytest.raises(
        ImportError, match="to verify an import, diffusers must be installed"
    ):
        verify(tmp_path, found)


def test_not_a_number_is_not_verified(tmp_path, monkeypatch):
    write(tmp_path, "one-level")
    monkeypatch.setattr(verify_module, "_network", lambda *a: float("nan"))
    with pytest.raises(ValueError, match="is not what diffusers makes of it"):
        verify(tmp_path, from_diffusers(tmp_path))


# Fine-tuning, and the commands.


def test_start_from_a_folder_of_diffusers(tmp_path):
    unet = write(tmp_path)
    assert is_diffusers(tmp_path) and is_diffusers(tmp_path / "unet")
    assert not is_diffusers(tmp_path / "scheduler") and not is_diffusers(tmp_path / "no")
    c = open_model(tmp_path).model.unet_config
    model = UNet(c)
    start_from(model, Schedule.linear(1000), tmp_path)
    same_tensors(model, unet)
    with pytest.raises(ValueError, match="was trained with another schedule"):
        start_from(model, Schedule.cosine(1000), tmp_path)
    with pytest.raises(
        ValueError, match=r"does not fit this network: time_emb.* is \(64, 16"
    ):
        start_from(UNet(c, width=16), Schedule.linear(1000), tmp_path)
    for field, value in (
        ("down_padding", "both"),
        ("sine_first", False),
        ("frequency_shift", 0),
        ("t_shift", 0),
        ("head_width", 4),
        ("groups", 8),
        ("eps", 1e-5),
        ("prediction", "v"),
    ):
        other = UNet(c, **{field: value})
        before = {k: v.clone() for k, v in other.state_dict().items()}
        with pytest.raises(ValueError, match=f"was trained with {field} = "):
            start_from(other, Schedule.linear(1000), tmp_path)
        same_tensors(other, before)  # untouched


def run(*arguments):
    return cli.main([str(a) for a in arguments])


def test_the_commands_from_end_to_end(tmp_path, monkeypatch, capsys):
    r"""export, import --verify, sample, evaluate, info, and train --init from both."""
    monkeypatch.chdir(tmp_path)
    small = "--width 8 --groups 4 --T 50 --steps 2 --batch-size 8 --sample-steps 2".split()
    assert run("train", "digits", *small, "--device", "cpu", "--out", "one") == 0
    assert run("export", "one", "--format", "diffusers", "--out", "out") == 0
    said = capsys.readouterr().out
    assert "DDPMPipeline.from_pretrained('out') loads it" in said
    assert "y in 0..10, which means no class" in said
    pipeline = DDPMPipeline.from_pretrained("out", low_cpu_mem_usage=False)
    same_tensors(open_model("one").model, pipeline.unet)
    assert run("import", "out", "--out", "in.safetensors", "--verify") == 0
    said = capsys.readouterr().out
    assert "verified against diffusers: " in said and "after 10 ancestral steps" in said
    same_tensors(load_model("in.safetensors").model, pipeline.unet)
    sampling = "--sampler ddim --steps 2 --device cpu --json".split()
    for name in ("in.safetensors", "out"):
        assert run("sample", name, "--num", 2, "--out", f"new-{name}", *sampling) == 0
        assert json.loads(capsys.readouterr().out)["pictures"] == 2
    one, two = (Path(f"new-{name}/00001.png") for name in ("in.safetensors", "out"))
    assert one.read_bytes() == two.read_bytes()
    measured = ["--data", "digits", "--num", 20, *sampling]
    assert run("evaluate", "in.safetensors", *measured) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 20
    assert run("info", "in.safetensors", "--json") == 0
    about = json.loads(capsys.readouterr().out)
    assert about["settings"]["schedule"] == "cosine" and "train" not in about["settings"]
    assert about["imported"]["format"] == "diffusers"
    for name in ("in.safetensors", "out"):
        init = ["--init", name, "--out", f"tuned-{name}", "--device", "cpu"]
        assert run("train", "digits", *small, *init) == 0
        assert (Path(f"tuned-{name}") / "newest").is_file()


def test_the_commands_say_what_is_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a", "one-level")
    write(tmp_path / "classes", "class-conditional")
    (tmp_path / "b.safetensors").write_text("mine")
    for arguments, message in (
        (["import", "a"], "say where to write it: --out NAME.safetensors, or only --ve"),
        (["import", "a", "--out", "b"], "--out must end in .safetensors, got b"),
        (["import", "a", "--out", "b.safetensors"], "b.safetensors is there: name another"),
        (["import", "nowhere", "--out", "c.safetensors"], "no folder nowhere: expected"),
        (["import", "classes", "--verify"], "does not say whether the last one means"),
        (
            ["import", "a/unet", "--verify"],
            "does not say schedule, prediction, clip: name a",
        ),
        (["import", "a/unet", "--verify", "--T", "9"], "give --schedule and --T together"),
        (["export", "a", "--out", "a"], "a is there and not empty: name another folder"),
        (["export", "a", "--out", "c", "--format", "onnx"], "--format must be one of dif"),
        (["export", "s_curve", "--out", "c"], "networks of pictures only, got a MLP"),
        (["export", "nowhere", "--out", "c"], "nowhere is no run folder, no weight file"),
    ):
        assert run(*arguments) == 1
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1
    assert run("import", "a", "--verify", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["verified"]["network"] <= 1e-5 and result["verified"]["steps"] == 10
    said = ["--schedule", "cosine", "--T", 20, "--prediction", "v", "--clip", "True"]
    assert run("import", "a/unet", "--out", "c.safetensors", *said) == 0
    found = load_model("c.safetensors")
    assert found.schedule.T == 20 and found.model.prediction == "v"
    assert run("import", "classes", "--null-class", "False", "--verify") == 0
    monkeypatch.setitem(sys.modules, "diffusers.models.unets.unet_2d", None)
    assert run("import", "a", "--verify") == 1
    assert "pip install diffusers" in capsys.readouterr().err
