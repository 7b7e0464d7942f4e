r"""Files of a run that are cut short, lost, or of another version."""

import json
import shutil

from doctor_runs import SPOILED, check_named, edit, every_fault, examined, newest


def cut_short(run):
    path = newest(run) / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def one_file_lost(run):
    (newest(run) / "model.safetensors").unlink()


def checkpoint_not_copied(run):
    shutil.rmtree(newest(run))


def no_checkpoint(run):
    shutil.rmtree(run / "checkpoints")


def config_lost(run):
    (run / "config.json").unlink()


def config_of_another_version(run):
    edit(run / "config.json", unet__depth=3)


def log_cut_short(run):
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 130, "lo')


@every_fault(
    (cut_short, "checkpoint", SPOILED),  # the one before is looked at, of half the run
    (one_file_lost, "checkpoint", SPOILED),
    (checkpoint_not_copied, "newest checkpoint", SPOILED),
    (no_checkpoint, "checkpoint", set()),
    (config_lost, "config.json", set()),
    (config_of_another_version, "config.json", set()),
    (log_cut_short, "metrics", set()),
)
def test_a_seeded_fault_is_named(run, fault, name, follows):
    check_named(run, fault, name, follows)


def test_a_run_without_settings_of_pictures_is_looked_at_as_far_as_it_goes(run):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({"train": config["train"]}))
    levels = {f.what: f.level for f in examined(run)}
    assert "wrong" not in levels.values()
    assert levels["config.json"] == "note" and levels["loss curve"] == "ok"
