r"""The network of docs/networks.md in the commands: trained, resumed, drawn from."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from ddpm_lite.commands.main import main
from ddpm_lite.lab.doctor import examine

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text("utf-8")
SMALL = "--batch-size 4 --sample-every 0 --sample-steps 2 --device cpu --threads 1 --steps"


def readme_network():
    section = PAGE.split("## An example")[1].split("\n## ")[0]
    return re.search(r"```python\n(.*?)```", section, re.S)[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    r"""A folder with that page's mynet.py, which is the current one."""
    (tmp_path / "mynet.py").write_text(readme_network())
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("mynet", None)


def call(text, capsys, status=0):
    assert main(text.split()) == status, capsys.readouterr().err
    said = capsys.readouterr()
    return said.out if status == 0 else said.err


def test_readmes_network_is_short():
    lines = [line for line in readme_network().splitlines() if line.strip()]
    assert len(lines) <= 26 and "import torch" in lines


def test_it_trains_resumes_draws_and_is_measured(folder, capsys):
    mine = "--network mynet:Net"
    out = call(f"train digits {mine} --settings width=8 {SMALL} 2 --out run", capsys)
    assert re.search(
        r"network +mynet:Net\(channels=1, classes=10, width=8.*\): \S+ weig", out
    )
    assert f"ddpm-lite sample run {mine}" in out
    about = json.loads(Path("run/config.json").read_text())
    assert about["own"]["settings"]["width"] == 8 and about["own"]["classes"] == 10
    call(f"resume run --steps 3 {mine} --threads 1", capsys)
    call(f"train digits {mine} --settings width=8 {SMALL} 3 --out straight", capsys)
    newest = "checkpoints/step_000000003/state.safetensors"
    first, second = (Path(name, newest) for name in ("run", "straight"))
    assert first.stat().st_size == second.stat().st_size
    drawn = f"sample run {mine} --num 3 --steps 2 --label 1 --guidance 2 --out x.png --json"
    assert json.loads(call(drawn, capsys))["pictures"] == 3
    found = json.loads(call(f"evaluate run {mine} --num 17 --steps 2 --json", capsys))
    assert found["samples"] == 17 and found["measures"]
    told = json.loads(call(f"info run {mine} --json", capsys))
    assert told["network"] == "mynet:Net" and told["parameters"] > 0
    assert call("curves run", capsys).strip() == "run/curves.png"
    findings = examine("run", draws=64, samples=12, network="mynet:Net")
    asked = {finding.what for finding in findings}
    assert {"settings and weights", "prediction", "EMA lag", "sampler"} <= asked


def test_without_it_the_error_says_what_to_type(folder, capsys):
    call(f"train digits --network mynet.py:Net {SMALL} 1 --out run", capsys)
    sys.modules.pop("mynet")
    for words in ("sample run", "evaluate run", "info run", "resume run", "doctor run"):
        said = call(words, capsys, 1)
        assert "On a command line add --network mynet:Net." in said
        assert "ddpm-lite sample" not in said  # it need not be that command
        assert "load_run('run', network=Net)" in said and said.count("\n") == 1
        assert "mynet" not in sys.modules
    assert "diffusers knows its own alone" in call("export run --out x", capsys, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--network mynet:Nett", "did you mean mynet:Net?"),
        ("--network nothing:Net", "there is no module nothing in"),
        ("--settings width=8", "--settings are for a network of your own: give --network"),
        ("--network mynet:Net --width 8", "--width is for the U-Net of this package"),
        ("--network mynet:Net --settings widht=8", "did you mean width?"),
        ("--own 3", "train digits has no option --own"),
    ],
)
def test_what_is_asked_wrongly_is_said(folder, capsys, words, said):
    status = 2 if "--own" in words else 1
    line = f"train digits {words} {SMALL} 1 --out run"
    if status == 2:
        with pytest.raises(SystemExit):
            main(line.split())
        assert said in capsys.readouterr().err
    else:
        assert said in call(line, capsys, 1)
    assert not Path("run").exists()


def test_a_dry_run_writes_nothing(folder, capsys):
    said = call(f"train digits --network mynet:Net {SMALL} 1 --out run --dry-run", capsys)
    assert '"own"' in said and not Path("run").exists()


FAULTS = {
    "config": (
        "width=width",
        "width=32",
        "another network, in which time.0.weight is (32,",
    ),
    "word": (
        "depth=depth)",
        "depth=1)",
        "says depth = 1, and it was called with depth = 4",
    ),
    "labels": ("classes + 1", "max(1, classes)", "IndexError: index out of range in self"),
    "dtype": (" / 1000", "", "mat1 and mat2 must have the same dtype"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dry", ["", " --dry-run"])
def test_a_network_with_a_fault_is_refused_before_it_is_timed(folder, capsys, fault, dry):
    right, wrong, said = FAULTS[fault]
    text = readme_network().replace(right, wrong)
    if fault == "word":  # which no tensor shows
        text = text.replace("range(depth)", "range(1)")
    (folder / "faulty.py").write_text(text)
    ask = "train digits --network faulty:Net --settings width=64 depth=4"
    try:
        why = call(f"{ask} {SMALL} 1 --out run{dry}", capsys, 1)
    finally:
        sys.modules.pop("faulty", None)
    assert said in why and why.count("\n") == 1 and not Path("run").exists()
    if fault in ("labels", "dtype"):
        assert "Net(x_t, t, y) fails for x_t of shape (2, 1, 8, 8)" in why
        assert "of faulty.py)" in why


def test_the_config_of_a_class_may_read_what_it_was_given_in_its_way(folder, capsys):
    text = readme_network().replace("width=64,", "width=64, size=None,")
    text = text.replace("width=width,", "width=width, size=[size, size],")
    (folder / "mynet.py").write_text(text)
    call(f"train digits --network mynet:Net {SMALL} 1 --out run --dry-run", capsys)


def test_another_class_of_the_same_name_is_named(folder, capsys):
    call(f"train digits --network mynet:Net {SMALL} 1 --out run", capsys)
    (folder / "other.py").write_text(readme_network().replace("channels", "planes"))
    (folder / "moved.py").write_text(readme_network())
    why = call("info run --network other:Net", capsys, 1)
    sys.modules.pop("other", None)
    assert "holds a network mynet:Net, and other:Net was given" in why
    assert "give mynet:Net (" in why and why.count("\n") == 1
    call("info run --network moved:Net", capsys)
    sys.modules.pop("moved", None)


SERIES = """
import torch


class Net1d(torch.nn.Module):
    prediction = "noise"

    def __init__(self, channels, size, width=4):
        super().__init__()
        self.config = dict(channels=channels, size=size, width=width)
        self.first = torch.nn.Conv1d(channels, width, 3, padding=1)
        self.time = torch.nn.Parameter(torch.zeros(size))
        self.last = torch.nn.Conv1d(width, channels, 3, padding=1)

    def forward(self, x_t, t):
        told = self.time * t[:, None, None] / 1000
        return self.last(torch.relu(self.first(x_t) + told))
"""


@pytest.mark.parametrize("shape", [(40, 13), (40, 2, 12)], ids=["N L", "N C L"])
def test_it_trains_on_series_and_goes_on(folder, capsys, shape):
    (folder / "mynet.py").write_text(SERIES)
    np.save("x.npy", np.random.default_rng(0).normal(100, 10, shape))
    mine, few = "--network mynet:Net1d", "--steps 2 --threads 1"
    call(f"train series --data x.npy {mine} {SMALL} 2 --out run", capsys)
    own = json.loads(Path("run/config.json").read_text())["own"]
    C, L = shape[1] if len(shape) == 3 else 1, shape[-1]
    assert own["settings"] == {"channels": C, "size": L, "width": 4}
    call(f"resume run {mine} --steps 3 --threads 1", capsys)
    call(f"sample run {mine} --num 3 {few} --out s.npy", capsys)
    assert np.load("s.npy").shape == (3, C, L)
    np.save("new.npy", np.random.default_rng(1).normal(100, 10, shape))
    told = call(f"evaluate run {mine} --num 17 --data new.npy {few} --json", capsys)
    assert json.loads(told)["compared"]["unseen"]["pictures"] == 40


def test_series_are_not_cut_to_the_range_of_pictures(folder, capsys):
    text = SERIES.replace('prediction = "noise"', 'prediction, clip = "noise", (-1, 1)')
    (folder / "mynet.py").write_text(text)
    np.save("x.npy", np.random.default_rng(0).normal(100, 10, (40, 12)))
    why = call(f"train --data x.npy --network mynet:Net1d {SMALL} 1 --out run", capsys, 1)
    assert "mynet:Net1d has clip = (-1, 1), and series are" in why
