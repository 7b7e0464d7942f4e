r"""Any nn.Module in a file: how it is found again, and what is said where it is not."""

import json
import sys

import pytest
import torch
from helpers import close
from own_networks import Flat, Own, make_inside
from safetensors import safe_open
from torch import nn

from ddpm_lite import Schedule, UNet, load_model, load_run, register_network, save_model
from ddpm_lite.formats import networks
from ddpm_lite.formats.networks import check_answers, check_network, network_named

SHORT = Schedule.cosine(10)
MINE = """
from torch import nn

class Net(nn.Module):
    prediction = "v"

    def __init__(self, width=3):
        super().__init__()
        self.config = dict(width=width)
        self.line = nn.Linear(2, width)

    def forward(self, x_t, t):
        return self.line(x_t)

class Outer:
    Inner = Net

helper = len
"""


@pytest.fixture
def registered(monkeypatch):
    r"""The table of registered classes, put back afterwards."""
    table = dict(networks._REGISTERED)
    monkeypatch.setattr(networks, "_REGISTERED", table)
    return table


@pytest.fixture
def mine(tmp_path, monkeypatch):
    r"""A folder with mynet.py, which is the current one; no module stays imported."""
    (tmp_path / "mynet.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name in ("mynet", "other", "broken", "package", "package.net"):
            del sys.modules[name]
    assert sys.path == path


def saved(tmp_path, model, **options):
    path = tmp_path / "w.safetensors"
    save_model(path, model, SHORT, **options)
    return path


def same(one, other):
    return all(torch.equal(v, other.state_dict()[k]) for k, v in one.state_dict().items())


# --- to a file and back


def test_a_file_gives_the_same_network(tmp_path):
    torch.manual_seed(0)
    model = Own(width=6, prediction="x_0", classes=3, shape={"sizes": [[1], [[2, None]]]})
    model.norm.running_mean += 0.25
    found = load_model(saved(tmp_path, model, config={"a": 1}), Own)
    assert type(found.model) is Own and not found.model.training
    assert found.model.config == model.config and found.config == {"a": 1}
    assert same(model, found.model) and found.model.norm.num_batches_tracked.dtype.is_signed
    x_t, t, y = torch.randn(2, 1, 4, 4), torch.tensor([1, 10]), torch.tensor([0, 3])
    # the same tensors, in another layout: sums of some 60 numbers below 1, in another order
    close(found.model(x_t, t, y), model.eval()(x_t, t, y), rtol=0, atol=1e-5)


def test_what_was_said_after_it_was_built_goes_along(tmp_path):
    model = Own()
    model.clip, model.T = None, 10
    found = load_model(saved(tmp_path, model), Own).model
    assert found.clip is None and found.T == 10 and Own.clip == (-1, 1)


def test_float64_loses_no_digit_and_half_keeps_whole_numbers(tmp_path):
    torch.manual_seed(0)
    model = Own().double()
    found = load_model(saved(tmp_path, model), Own).model
    assert found.first.weight.dtype == torch.float64 and same(model, found)
    model = Own()
    model.norm.num_batches_tracked += 4099  # which float16 does not have
    found = load_model(saved(tmp_path, model, half=True), Own).model
    assert int(found.norm.num_batches_tracked) == 4099
    assert found.first.weight.dtype == torch.float32


def test_samples_have_the_shape_that_is_known_or_given(tmp_path):
    path = saved(tmp_path, model := Flat())
    with pytest.raises(ValueError, match=r"Flat does not say what shape .* give shape="):
        load_model(path, Flat).sample(3)
    options = dict(progress=False, steps=2, sampler="ddim")
    points = load_model(path, Flat).sample(3, shape=(2,), **options)
    assert points.shape == (3, 2)
    known = saved(tmp_path, model, config={"own": {"sample_shape": [2]}})
    assert torch.equal(load_model(known, Flat).sample(3, **options), points)


def test_a_network_with_five_dimensions_is_left_as_it_lies(tmp_path):
    class Deep(Flat):
        def __init__(self):
            super().__init__()
            self.deep, self.wide = nn.Conv3d(1, 1, 2), nn.Conv2d(1, 1, 2)

    assert load_model(saved(tmp_path, Deep()), Deep).model.deep.weight.dim() == 5


# --- found by those who name it, and by nobody else


def test_a_file_imports_nothing(tmp_path, mine):
    path = saved(tmp_path, network_named("mynet:Net")())
    del sys.modules["mynet"]
    with pytest.raises(networks.NotGiven) as error:
        load_model(path)
    assert "mynet" not in sys.modules
    said = str(error.value)
    assert "On a command line add --network mynet:Net. " in said and "\n" not in said
    typed = said.partition("In Python: ")[2]
    import_line, call = typed.split("; ")
    scope = dict(load_model=load_model)
    sys.path.insert(0, str(mine))
    try:
        exec(f"{import_line}\nfound = {call}", scope)  # what is quoted does it
    finally:
        sys.path.remove(str(mine))
    assert type(scope["found"].model).__name__ == "Net"
    assert type(load_model(path, "mynet:Net").model).__name__ == "Net"


def test_a_registered_class_is_found(tmp_path, registered):
    path = saved(tmp_path, Flat())
    with pytest.raises(networks.NotGiven):
        load_model(path)
    assert register_network(Flat) is Flat
    assert type(load_model(path).model) is Flat
    assert load_model(path, Flat).model.line is not None


def test_a_cell_that_runs_twice_registers_the_second_class(registered):
    first = type("Flat", (Flat,), {"__module__": "__main__", "__qualname__": "Flat"})
    second = type("Flat", (Flat,), {"__module__": "__main__", "__qualname__": "Flat"})
    register_network(first)
    assert register_network(second) is second and registered["Flat"] is second
    with pytest.raises(ValueError, match="__main__:Flat is registered as Flat, and own"):
        register_network(Flat)
    assert registered["Flat"] is second


def test_another_class_of_that_name_is_not_taken_for_it(tmp_path, registered):
    path = saved(tmp_path, Flat())
    other = type("Flat", (Flat,), {"__module__": "others", "__qualname__": "Flat"})
    register_network(other)
    with pytest.raises(ValueError, match="own_networks:Flat, and others:Flat is reg"):
        load_model(path)
    assert type(load_model(path, other).model) is other  # said so


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Own, r"holds a Flat \(own_networks:Flat\), and the network given is a Own"),
        (UNet, "the network given is a UNet"),
        (nn.Linear(1, 1), r"a network is a class, Net and not Net\(\)"),
        ("mynet", "named as module:Class, such as mynet:Net; got 'mynet'"),
    ],
)
def test_another_network_than_the_files(tmp_path, given, words):
    with pytest.raises((ValueError, TypeError), match=words):
        load_model(saved(tmp_path, Flat()), given)


def test_the_class_of_a_built_in_network_may_be_given(tmp_path):
    tiny = dict(size=4, width=4, multipliers=(1,), attention=(), groups=2, T=10)
    path = saved(tmp_path, UNet(**tiny))
    assert load_model(path, UNet).model.T == 10
    with pytest.raises(ValueError, match="holds a UNet"):
        load_model(path, Flat)


def test_a_class_in_a_function_or_a_notebook_is_given_as_it_is(tmp_path):
    model = make_inside(3)
    path = saved(tmp_path, model)
    with pytest.raises(ValueError, match=r"inside a function, .* network=Inside\); for a"):
        load_model(path)
    assert load_model(path, type(model)).model.config == {"width": 3}
    cell = type("Cell", (Flat,), {"__module__": "__main__", "__qualname__": "Cell"})
    path = saved(tmp_path, cell())
    with pytest.raises(ValueError, match=r"in a notebook or a script, .* network=Cell\)"):
        load_model(path)
    assert type(load_model(path, cell).model) is cell


def test_a_file_says_no_settings_that_its_class_does_not_take(tmp_path):
    path = saved(tmp_path, Flat())
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["ddpm_lite"])
    assert about["class"] == "own_networks:Flat" and about["says"] == {
        "prediction": "noise"
    }
    later = type("Flat", (Flat,), {"__init__": lambda self: Own.__init__(self)})
    with pytest.raises(ValueError, match="Flat was given, which it does not fit"):
        load_model(path, later)


# --- named on a command line


@pytest.mark.parametrize("text", ["mynet:Net", "mynet.py:Net", "mynet:Outer.Inner"])
def test_a_class_is_named(mine, text):
    assert network_named(text).__name__ == "Net"


def test_a_file_elsewhere_is_named_by_its_path(mine, monkeypatch):
    (mine / "below").mkdir()
    monkeypatch.chdir(mine / "below")
    assert network_named(f"{mine / 'mynet.py'}:Net").__module__ == "mynet"
    with pytest.raises(ValueError, match="there is another module json already"):
        (mine / "json.py").write_text(MINE)
        network_named(f"{mine / 'json.py'}:Net")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mynet", "a network is named as module:Class, such as mynet:Net; got 'mynet'"),
        (":Net", "named as module:Class"),
        ("mynett:Net", r"no module mynett in .* none is installed: did you mean mynet\.py"),
        ("mynett.py:Net", r"there is no file mynett\.py: did you mean mynet\.py\?"),
        ("my net:Net", "'my net' is no name of a module: name it as mynet:Net, or by"),
        ("mynet:Nett", r"there is no Nett in .*mynet\.py: did you mean mynet:Net\?"),
        ("mynet:Else", r"there is no Else in .*mynet\.py: it has Net$"),
        ("mynet:helper", "mynet:helper: a network is a class, Net and not"),
        ("mynet:Outer", "mynet:Outer: Outer is not a torch.nn.Module: write class Outer"),
        ("broken:Net", r"broken cannot be imported: NameError: name 'nn' .*\(line 2 of br"),
        ("other:Net", "other cannot be imported: ModuleNotFoundError: No module named 'no"),
        ("exits:Net", "exits cannot be imported: SystemExit"),
    ],
)
def test_what_is_wrong_with_a_name_is_said(mine, text, words):
    (mine / "broken.py").write_text("\nclass Net(nn.Module): pass\n")
    (mine / "other.py").write_text("import nothing_like_it\n")
    (mine / "exits.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(ValueError, match=words) as error:
        network_named(text)
    assert "\n" not in str(error.value)


# --- what a network needs


class Wide(Flat):
    r"""A network whose config does not say what it was called with."""

    def __init__(self, width=2, depth=1):
        super().__init__()
        self.wide = nn.Linear(width, depth)
        self.config = dict(width=2, depth=1)


def with_says(**says):
    model = Flat()
    for name, value in says.items():
        setattr(model, name, value)
    return model


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Linear(1, 1), r"Linear\.forward must take x_t and t.*it is \(self, in"),
        (lambda: nn.Module(), r"Module has no forward: add def forward\(self, x_t, t\)"),
        (
            lambda: with_says(prediction=None),
            'does not say what it predicts: add the line self.prediction = "noise"',
        ),
        (
            lambda: with_says(prediction="eps"),
            "prediction must be one of noise, x_0, v, flow",
        ),
        (
            lambda: with_says(config=None),
            r"a Flat does not say how it is built: add the line self\.config = dict\(\)",
        ),
        (lambda: with_says(config=[1]), "must say in a dictionary how it is built"),
        (
            lambda: with_says(config={"act": torch.relu}),
            "config of Flat holds act = <built-in .* and a file holds numbers",
        ),
        (lambda: with_says(config={"lr": float("nan")}), "config of Flat holds lr = nan"),
        (
            lambda: with_says(config={"a": 1}),
            r"Flat\(a=1\) cannot be built: TypeError: .*'",
        ),
        (lambda: with_says(classes=-1), "Flat.classes must be a whole number of at lea"),
        (lambda: with_says(classes=3), r"has classes, and its forward takes no labels: wr"),
        (lambda: with_says(T=1.5), "Flat.T must be a whole number of at least 1"),
        (lambda: with_says(clip=3), "clip must be"),
        (lambda: with_says(learned_variance=1), "learned_variance must be True or False"),
        (
            lambda: Wide(width=3),
            r"config of this Wide builds another network, in which wide.weight is \(1, 2\)"
            r"; here it is \(1, 3\): .* was called with, dict\(width=width, depth=depth\)",
        ),
        (lambda: nn.DataParallel(Flat()), "model.module, and not a DataParallel"),
        (lambda: with_says(_orig_mod=Flat()), r"TrainConfig\(compile=True\) compiles it"),
        (lambda: type("UNet", (Flat,), {})(), "UNet is a network of this package: give"),
    ],
)
def test_what_a_network_lacks_is_said(tmp_path, make, words):
    with pytest.raises(ValueError, match=words) as error:
        save_model(tmp_path / "w.safetensors", make(), SHORT)
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def test_an_argument_that_config_lacks_is_named():
    model = Wide()
    model.config = dict(width=2)
    with pytest.raises(ValueError, match=r"lacks depth, .* dict\(width=width, depth"):
        check_network(model)
    model.config = dict(width=2, depth=1)
    check_network(model)


def test_to_check_a_network_draws_no_number_and_takes_no_memory():
    state = torch.get_rng_state()
    check_network(Own())
    before = torch.get_rng_state()
    check_network(own := Own())
    assert not torch.equal(state, before)
    after = torch.get_rng_state()
    check_network(own)
    check_answers(own, (1, 4, 4), 10)
    assert torch.equal(after, torch.get_rng_state())


def test_a_class_that_reads_numbers_is_built_where_there_are_some():
    class Reads(Flat):
        def __init__(self):
            super().__init__()
            self.scale = float(self.line.weight.detach().abs().max())  # not on meta

    check_network(Reads())


@pytest.mark.parametrize(
    ("forward", "words"),
    [
        (lambda self, x_t, t: x_t[:, :1], r"must answer .* shape \(2, 2\), like x_t; got"),
        (lambda self, x_t, t: (x_t,), r"shape \(2, 2\), like x_t; got \(tensor"),
        (lambda self, x_t, t: x_t @ t, r"Net\(x_t, t\) fails for x_t of shape \(2, 2\), t"),
        (
            lambda self, x_t, t: [][t[1]],
            r"t = 1 and 10: IndexError: .*\(line \d+ of test_o",
        ),
    ],
)
def test_a_network_is_asked_before_it_is_trained(forward, words):
    model = type("Net", (Flat,), {"forward": forward})()
    with pytest.raises(ValueError, match=words) as error:
        check_answers(model, (2,), 10)
    assert "\n" not in str(error.value)


def test_a_learned_variance_has_twice_the_channels():
    check_answers(Own(learned=True), (1, 4, 4), 10)
    model = Own()
    model.learned_variance = True
    with pytest.raises(ValueError, match=r"shape \(2, 2, 4, 4\), like x_t, twice the chan"):
        check_answers(model, (1, 4, 4), 10)
    with pytest.raises(ValueError, match=r"and labels 0 and 3 \(no class\): IndexError"):
        model = Own(classes=3)
        model.label = nn.Embedding(3, 4)
        check_answers(model, (1, 4, 4), 10)


def test_load_run_says_the_run(tmp_path):
    folder = tmp_path / "my run" / "checkpoints" / "step_000000001"
    folder.mkdir(parents=True)
    (tmp_path / "my run" / "config.json").write_text("{}")
    save_model(folder / "model.safetensors", Flat(), SHORT)
    run = tmp_path / "my run"
    with pytest.raises(ValueError, match=r"load_run\('.*my run', network=Flat\)") as error:
        load_run(run)
    assert "add --network own_networks:Flat." in str(error.value)
    assert load_run(run, network=Flat).config["step"] == 1
