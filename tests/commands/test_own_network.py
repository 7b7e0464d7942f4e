r"""README's network in the commands: trained, resumed, drawn from, measured."""

import json
import re
import sys
from pathlib import Path

import pytest

from ddpm_lite.commands.main import main
from ddpm_lite.lab.doctor import examine

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
SMALL = "--batch-size 4 --sample-every 0 --sample-steps 2 --device cpu --threads 1 --steps"


def readme_network():
    section = README.split("### Your own network")[1].split("\n### ")[0].split("\n## ")[0]
    return re.search(r"```python\n(.*?)```", section, re.S)[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    r"""A folder with README's mynet.py, which is the current one."""
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
        assert "On a command line add --network mynet:Net" in said
        assert "ddpm-lite sample" not in said  # another command than the one asked for
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
