r"""What is refused, and by which name: fields, files of weights, the hub."""

import json
import sys
import types

import pytest
import torch
from diffusers_folders import REMOVED, WEIGHTS, edit, same_tensors, theirs, write, write_old
from safetensors.torch import load_file, save_file

from ddpm_lite import Schedule, from_diffusers

pytest.importorskip("diffusers")
from diffusers import DDIMPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


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
