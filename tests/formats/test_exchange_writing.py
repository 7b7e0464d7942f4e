r"""What goes out is loaded by diffusers and comes back."""

import json
import subprocess
import sys
import warnings
from dataclasses import replace

import pytest
import torch
from diffusers_folders import OURS, TINY, same_tensors, shaken, without_facts

import ddpm_lite
from ddpm_lite import Schedule, from_diffusers, save_model
from ddpm_lite.formats.diffusers import to_diffusers
from ddpm_lite.formats.verify import verify
from ddpm_lite.formats.weights import Pretrained

pytest.importorskip("diffusers")
from diffusers import DDIMPipeline, DDPMPipeline

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


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
    assert again.model.clip == ours.model.clip
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
    points = Pretrained(ddpm_lite.MLP(T=10), linear, {})
    with pytest.raises(ValueError, match="networks of pictures only, got a MLP"):
        to_diffusers(points, tmp_path / "out")
    other = shaken(TINY, linear)
    with pytest.raises(ValueError, match=r"knows T = 10 steps, and the schedule has 20"):
        to_diffusers(replace(other, schedule=Schedule.linear(20)), tmp_path / "out")
    other.model.clip = (0, 1)
    with pytest.raises(ValueError, match=r"clips to \(-1, 1\) or None, got \(0, 1\)"):
        to_diffusers(other, tmp_path / "out")
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
