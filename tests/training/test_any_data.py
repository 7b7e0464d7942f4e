r"""Training on data that is read when it is needed: the same weights as from memory."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, TensorDataset
from trainers import QUICK, SHORT, bytes_of, make, tiny, weights

from ddpm_lite import TrainConfig, Trainer, data
from ddpm_lite.commands.main import main
from ddpm_lite.data import Items, Stream, chain, flip, random_crop, with_global_seed
from ddpm_lite.data.examples import Unreadable
from ddpm_lite.formats.checkpoint import checkpoints, read_json
from ddpm_lite.seeds import TRANSFORM, generator_for
from ddpm_lite.training import experiment
from ddpm_lite.training.ahead import Ahead
from ddpm_lite.training.fit import fit

N = 23
X, Y = bytes_of(N, 1, 4, 4), torch.arange(N) % 3
MOVE = chain(random_crop(1), flip())


def epoch_of(epoch):
    return iter([(X[i], int(Y[i])) for i in range(N)])


def trainer(source=X, y=None, **asked):
    own = {name: asked.pop(name) for name in ("transform", "workers") if name in asked}
    config = TrainConfig(**QUICK | dict(batch_size=8, flip=True, drop_label=0.2) | asked)
    y = Y if source is X and y is None else y
    return Trainer(tiny(classes=3), SHORT, source, config, y=y, **own)


def trained(*arguments, **asked):
    made = trainer(*arguments, **asked)
    assert [record.step for record in made.run()] == list(range(1, 11))
    return weights(made.model)


def hub_stream():
    import datasets

    kinds = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["a", "b", "c"])
    )
    rows = dict(image=[Image.fromarray(x[0].numpy()) for x in X], label=Y.tolist())
    table = datasets.Dataset.from_dict(rows, features=kinds)
    return table.to_iterable_dataset(num_shards=2)


SOURCES = {
    "dataset": lambda: TensorDataset(X, Y),
    "stream": lambda: Stream(epoch_of, window=N),
    "wide stream": lambda: Stream(epoch_of, window=1000),
    "hub": lambda: hub_stream(),
}
WHOLE = trained()  # 10 steps of 8: four epochs of 23 are touched
MOVED = trained(transform=MOVE)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("source", SOURCES)
def test_the_same_weights_bit_for_bit_as_from_memory(source, workers):
    assert torch.equal(trained(SOURCES[source](), workers=workers), WHOLE)


@pytest.mark.parametrize("source", SOURCES)
def test_the_same_with_a_transform_whoever_reads(source):
    workers = 0 if source == "stream" else 1
    assert torch.equal(trained(SOURCES[source](), transform=MOVE, workers=workers), MOVED)
    assert not torch.equal(MOVED, WHOLE)


def test_the_number_of_workers_and_of_parts_changes_nothing():
    assert torch.equal(trained(TensorDataset(X, Y), transform=MOVE, workers=2), MOVED)
    whole, halves = (trainer(transform=MOVE, accumulate=n) for n in (1, 2))
    one, other = whole.update(), halves.update()
    assert torch.allclose(one.losses, other.losses, rtol=1e-5)  # of batches of 8 and 4
    assert not torch.allclose(one.losses, trainer().update().losses, rtol=1e-3)


def test_in_order_memory_a_dataset_and_streams_are_the_same():
    kept = trained(shuffle=False)
    assert not torch.equal(kept, WHOLE)
    for source in (TensorDataset(X, Y), Stream(epoch_of), Stream(epoch_of, window=4)):
        assert torch.equal(trained(source, shuffle=False), kept)
    assert torch.equal(trained(Stream(epoch_of, window=1)), kept)
    index = trainer(shuffle=False).batches.index(4)
    assert index.tolist() == [n % N for n in range(24, 32)]


def test_labels_may_come_from_beside_a_dataset():
    assert torch.equal(trained(TensorDataset(X), Y), WHOLE)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_is_what_the_transform_made_of_the_examples(workers):
    made = trainer(TensorDataset(X, Y), transform=MOVE, flip=False, workers=workers)
    plain = trainer(flip=False)
    for step in (1, 2, 9, 3):
        x_0, t, noise = made.draw(step)
        index = plain.batches.index(step)
        for place, i in enumerate(index):
            generator = generator_for(TRANSFORM, 0, step, place)
            expected = 2 * MOVE(X[i], generator).float() / 255 - 1
            assert torch.equal(x_0[place], expected)
        assert torch.equal(t, plain.draw(step)[1])
        assert torch.equal(noise, plain.draw(step)[2])


@pytest.mark.parametrize("source", [*SOURCES, "memory"])
def test_processes_read_their_parts_of_the_same_batch(source):
    made = SOURCES[source]() if source in SOURCES else X
    made = data.streams.as_examples(made)
    config, y = TrainConfig(batch_size=8), Y if source == "memory" else None
    given = (made, y, config, MOVE, 256, 3)
    whole = Ahead(*given, slice(0, 8), 0)
    parts = [Ahead(*given, slice(i, i + 4), 0) for i in (0, 4)]
    for step in range(1, 8):
        x, labels = whole.get(step, slice(0, 8))
        for part in parts:
            some = part.get(step, slice(part.own.start + 1, part.own.stop))
            assert torch.equal(some[0], x[part.own][1:])
            assert torch.equal(some[1], labels[part.own][1:])


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("at", [3, 6])  # in the second, and the third epoch
def test_a_run_goes_on_exactly(source, at, tmp_path):
    first = trainer(SOURCES[source](), transform=MOVE, save_every=at)
    fit(first, tmp_path / "run", max_minutes=1e-9, progress=False)
    assert first.step == 1
    for _ in range(at - 1):
        first.update()
    other = trainer(SOURCES[source](), transform=MOVE)
    other.restore(first.ema.model.state_dict(), *first.state())
    assert other.step == at
    for _ in other.run():
        pass
    assert torch.equal(weights(other.model), MOVED)
    again = trainer(SOURCES[source](), transform=MOVE)
    done = fit(again, tmp_path / "run", resume=True, progress=False)
    assert done["updates"] == 9 and torch.equal(weights(again.model), MOVED)


def test_lengths_of_epochs_stand_in_the_checkpoint_and_spare_reading(tmp_path):
    opened = []

    def counted(epoch):
        opened.append(epoch)
        return epoch_of(epoch)

    first = trainer(Stream(counted))
    for _ in range(7):
        first.update()
    tensors, numbers = first.state()
    assert numbers["epochs"] == [N, N]  # 56 examples
    other = trainer(Stream(counted))
    other.restore(first.ema.model.state_dict(), tensors, numbers)
    opened.clear()
    other.update()
    assert opened == [2]


def test_other_data_are_refused_in_words():
    tensors, numbers = trainer(TensorDataset(X, Y)).state()
    average = tiny(classes=3).state_dict()

    def refused(other, match):
        with pytest.raises(ValueError, match=match):
            other.restore(average, tensors, numbers)

    refused(trainer(TensorDataset(X.flip(3), Y)), "others, or in another order")
    refused(trainer(Stream(epoch_of)), "from a dataset then, and from a stream now")
    refused(trainer(X), "from a dataset then, and from memory now")
    whole = trainer(X)
    tensors, numbers = whole.state()
    trainer(TensorDataset(X, Y)).restore(average, tensors, numbers)  # all are compared
    refused(trainer(TensorDataset(X, Y.flip(0))), "from memory then, and from a dataset")


def test_another_transform_is_told():
    state = trainer(transform=MOVE).state()
    average = tiny(classes=3).state_dict()
    with pytest.warns(UserWarning, match=r"was chain\(.*\) so far, and .* is flip\("):
        trainer(transform=flip()).restore(average, *state)
    with warnings.catch_warnings(action="error"):
        trainer(transform=MOVE).restore(average, *state)


class Breaks(Dataset):
    def __init__(self, at):
        self.at = at

    def __len__(self):
        return N

    def __getitem__(self, i):
        if i == self.at:
            raise OSError("disk lost")
        return X[i], int(Y[i])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_item_that_breaks_stops_its_step_by_name_and_nothing_is_lost(
    workers, tmp_path, monkeypatch
):
    order = torch.cat([trainer().batches.index(step) for step in (1, 2, 3)])
    bad = int(order[20])  # of step 3
    monkeypatch.setattr(data.examples, "LOOK", 1)
    monkeypatch.setattr("ddpm_lite.data.examples.evenly", lambda *_: [int(order[0])])
    monkeypatch.setattr("ddpm_lite.training.ahead.evenly", lambda *_: [int(order[0])])
    made = trainer(Breaks(bad), workers=workers)
    match = f"step 3 cannot be made: item {bad} of .*Breaks cannot be read: OSError: disk"
    with pytest.raises(Unreadable, match=match):
        fit(made, tmp_path, progress=False)
    assert made.step == 2
    assert [folder.name for folder in checkpoints(tmp_path)][-1] == "step_000000002"
    mended = trainer(Breaks(-1), workers=workers)
    fit(mended, tmp_path, resume=True, progress=False)
    assert torch.equal(weights(mended.model), WHOLE)


REFUSED = {
    "y twice": (dict(source=TensorDataset(X, Y), y=Y), "leave y out"),
    "y for a stream": (dict(source=Stream(lambda e: iter(X)), y=Y), "leave y out"),
    "bad labels": (dict(source=TensorDataset(X, Y + 1)), "label in 0..2, got 3"),
    "workers": (dict(source=Stream(epoch_of), workers=2), "workers"),
    "shape": (dict(transform=lambda x, g: x[:, : 2 + int(x[0, 0, 0]) % 3]), "transform of"),
    "fails": (dict(transform=lambda x, g: x + g), "transform of|unsupported"),
    "x alone": (dict(transform=lambda x: x), r"pass data.with_global_seed\(transform\)"),
    "module": (dict(transform=torch.nn.Flatten()), r"called as transform\(x, generator\)"),
    "no tensor": (dict(transform=lambda x, g: 3), "transform must return a tensor"),
    "not in range": (dict(transform=lambda x, g: x.float()), r"must lie in \[-1, 1\]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name):
    asked, match = REFUSED[name]
    with pytest.raises((TypeError, ValueError), match=match):
        for _ in trainer(**asked).run():
            pass


def test_labels_need_a_network_with_classes():
    with pytest.raises(ValueError, match=r"Items\(dataset, label=False\)"):
        make(TensorDataset(X, Y), tiny())
    made = make(Items(TensorDataset(X, Y), label=False), tiny())
    assert made.labels(1) is None


def test_points_and_other_shapes_after_a_transform():
    points = torch.randn(30, 2, generator=generator_for(4))
    config = TrainConfig(**QUICK)

    def jitter(x, generator):
        return x + torch.randn(2, generator=generator)

    moved = Trainer(make().model, SHORT, points, config, transform=jitter)
    assert not torch.equal(moved.draw(1)[0], moved.draw(2)[0])
    larger = bytes_of(9, 1, 6, 6)
    cut = dict(transform=lambda x, g: x[:, 1:5, 1:5])
    made = Trainer(tiny(), SHORT, larger, config, **cut)
    assert made.draw(1)[0].shape == (16, 1, 4, 4)
    made.update()
    x = larger[made.batches.index(1)][:, :, 1:5, 1:5]
    assert torch.equal(made.draw(1)[0], 2 * x.float() / 255 - 1)


def test_torchs_own_numbers_stay_as_they_are():
    made = trainer(TensorDataset(X, Y), workers=1, transform=with_global_seed(torch.clone))
    before = torch.get_rng_state()
    made.update()
    assert torch.equal(before, torch.get_rng_state())


# --- folders, by the command


@pytest.fixture
def folder(tmp_path):
    for i in range(30):
        place = tmp_path / "pets" / ("cats" if i % 2 else "dogs")
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (9, 9), np.uint8)
        Image.fromarray(pixels).save(place / f"{i:02}.png")
    return tmp_path / "pets"


COMMAND = "train digits --size 8 --width 8 --multipliers 1 --blocks 1 --groups 4 --T 20"
COMMAND += " --attention --batch-size 4 --sample-steps 2 --sample-every 0 --steps"


def command(*words):
    assert main([str(word) for word in words]) == 0


def test_the_command_trains_the_same_from_files_as_from_memory(folder, tmp_path, capsys):
    for name, more in (("whole", []), ("later", ["--lazy"])):
        words = [*COMMAND.split(), 6, "--data", folder, "--out", tmp_path / name, *more]
        command(*words, "--hold-out", "4")
    out = capsys.readouterr().out
    assert "pictures are read when they are needed (lazy): 30 headers" in out
    runs = [tmp_path / "whole", tmp_path / "later"]
    about = [read_json(run / "config.json") for run in runs]
    assert [each["lazy"] for each in about] == [False, True]
    assert about[1]["described"]["fingerprint"].startswith("files-")
    assert about[1]["described"]["held_out_fingerprint"].startswith("files-")
    found = [read_json(run / "memorisation.json") for run in runs]
    assert found[0] == found[1]
    one, other = (experiment.open_model(str(run)).model for run in runs)
    assert torch.equal(weights(one), weights(other))
    command("resume", runs[1], "--steps", 8)
    command("resume", runs[0], "--steps", 8)
    one, other = (experiment.open_model(str(run)).model for run in runs)
    assert torch.equal(weights(one), weights(other))
    (folder / "cats" / "01.png").unlink()
    with pytest.raises(ValueError, match="this run was trained on other data"):
        experiment.resume(runs[1], steps=9)


def test_a_run_of_a_dataset_is_refused_by_resume_in_words(tmp_path, capsys):
    made = Trainer(tiny(), SHORT, TensorDataset(X), TrainConfig(**QUICK), transform=MOVE)
    fit(made, tmp_path, progress=False)
    described = read_json(tmp_path / "config.json")["described"]
    assert described["read_as"] == "Items" and described["pictures"] == N
    assert described["name"].endswith("TensorDataset")
    assert described["transform"] == data.transforms.text_of(MOVE)
    with pytest.raises(ValueError, match=r"TensorDataset.* go on there, with fit\(trainer"):
        experiment.resume(tmp_path, steps=12)
    assert main(["resume", str(tmp_path)]) == 0  # it is finished
    told = capsys.readouterr().out
    assert "is finished: it has made all its" in told and "with fit(trainer, " in told
    assert "--steps" not in told
    stream = Trainer(tiny(), SHORT, Stream(lambda e: iter(X)), TrainConfig(**QUICK))
    fit(stream, tmp_path / "stream", progress=False)
    described = read_json(tmp_path / "stream" / "config.json")["described"]
    assert described["window"] == 1000 and "pictures" not in described
