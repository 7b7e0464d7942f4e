r"""Folders of diffusers come in: tensors bit for bit, outputs, and the older layout."""

import json
from dataclasses import replace

import pytest
import torch
from diffusers_folders import (
    EVERY,
    OLD_SCHEDULER,
    REMOVED,
    SCHEDULERS,
    SMALL,
    UNETS,
    WEIGHTS,
    classes_of,
    edit,
    old_fields,
    old_tensors,
    same_tensors,
    theirs,
    write,
    write_old,
)

from ddpm_lite import Schedule, UNet, UNetConfig, from_diffusers
from ddpm_lite.formats.diffusers import to_diffusers
from ddpm_lite.formats.verify import verify

pytest.importorskip("diffusers")
from diffusers import DDIMPipeline
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


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
    assert c.clip is SCHEDULERS[name].get("clip_sample", True)
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
            ("sigmoid", dict(beta_schedule="sigmoid", beta_end=0.03)),
            (None, dict(rescale_betas_zero_snr=True)),
            ("linear", dict(beta_schedule="linear", beta_end=0.05)),
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
        assert found.config.get("beta_end") == kind.get("beta_end")
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
        assert found.model.unet_config.clip is clip and "variance" not in found.config
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
    assert found.model.clip == (-1, 1)
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
