r"""Weights that are not finite, not trained, or not those of config.json."""

import math

from doctor_runs import check_named, edit, every_fault, first_weights, newest, rewrite
from safetensors.torch import load_file, save_file


def nan_in_adam(run):
    path = newest(run) / "state.safetensors"
    state = load_file(path)
    state["adam.exp_avg.conv_in.weight"][0, 0, 0, 0] = math.nan
    save_file(state, path)


def never_updated(run):
    first = first_weights(run)
    rewrite(run, lambda _: first, lambda _: first)


def average_never_updated(run):
    first = first_weights(run)
    rewrite(run, lambda _: first)


def another_schedule_in_config(run):
    edit(run / "config.json", schedule="cosine")


def another_network_in_config(run):
    edit(run / "config.json", unet__width=32)


def other_channels_in_config(run):
    edit(run / "config.json", unet__channels=3)


@every_fault(
    (nan_in_adam, "weights not finite", set()),
    (never_updated, "not trained", set()),
    (average_never_updated, "EMA", set()),
    (another_schedule_in_config, "schedule", set()),
    (another_network_in_config, "network settings", set()),
    (other_channels_in_config, "network settings", {"other pictures"}),
)
def test_a_seeded_fault_is_named(run, fault, name, follows):
    check_named(run, fault, name, follows)
