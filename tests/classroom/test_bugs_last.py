r"""The bugs of chapters 16 and 17: their code, and what their hints say."""

import torch
from evidence import SCRIPTS, alone, given, rows

bugs_latents, bugs_parallel = SCRIPTS["16"], SCRIPTS["17"]


def test_the_code_of_16_is_that_of_the_run():
    made = torch.Generator().manual_seed(0)
    z, eps = (torch.randn(3, 2, 2, 5, generator=made).double() for _ in range(2))
    mean, deviation = torch.tensor([1.5, -2.0]), torch.tensor([0.5, 3.0])
    shared = (lambda x: 2 * x, lambda z: z + 1, lambda z, t: torch.sin(z + t))
    shared += (bugs_latents.SCHEDULE.alpha_bar, [900, 400, 100, 0], z, eps, mean, deviation)
    got = given("16", "vary")(*shared)
    run = bugs_latents.vary(*shared, bugs_latents.SHOWN)
    torch.testing.assert_close(got, run, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(got, bugs_latents.vary(*shared), atol=1e-3)


def test_what_the_hints_of_16_say_was_measured():
    of, shown, sound = alone("16"), rows("16")[bugs_latents.SHOWN], rows("16")[()]
    right = torch.tensor(sound["spread_1000"])
    less = torch.tensor(shown["spread_1000"]) / right
    assert (less < 0.76).all() and (less > 0.7).all()
    assert shown["spread_0"] == sound["spread_0"]
    for t in bugs_latents.STRENGTHS:
        for a, b in zip(shown[f"mean_{t}"], (0, 0, 1, 6), strict=True):
            assert abs(a - b) < 0.15
        off = torch.tensor(of["asked_late"][f"spread_{t}"]) / torch.tensor(
            sound[f"spread_{t}"]
        )
        assert (off >= 1).all()
    assert of["mean_kept"]["mean_0"][2:] == [4, 4]
    assert abs(of["mean_kept"]["mean_1000"][3] - 2) < 0.15
    assert max(map(abs, of["mean_not_back"]["mean_1000"])) < 0.15
    assert max(of["no_noise"]["spread_1000"]) < 0.02
    assert max(of["roots_missing"]["spread_300"]) < 0.02
    assert of["noise_scaled"]["spread_1000"][1] > 2 * right[1]
    assert of["not_rescaled"]["spread_0"] == [1, 1, 1, 1]
    alike = of["one_deviation"]["spread_1000"]
    assert max(alike) / min(alike) < 1.05
    assert of["scale_multiplied"]["spread_0"] == [0.125, 27, 0.125, 27]


def test_the_code_of_17_is_that_of_the_run():
    made = torch.Generator().manual_seed(0)
    parts = [torch.randn(n, 2, generator=made).double() for n in (3, 1, 5, 2)]
    w = torch.tensor([0.3, -0.5]).double()
    shared = (lambda w, part: torch.sin(w - part).mean(0), w, [parts[:2], parts[1:]])
    got = given("17", "train")(*shared, 0.1, 0.9)
    *_, run = bugs_parallel.train(*shared, 0.1, 0.9, bugs_parallel.SHOWN)
    *_, sound = bugs_parallel.train(*shared, 0.1, 0.9)
    for mine, one, other in zip(got, run, sound, strict=True):
        torch.testing.assert_close(mine, one, rtol=1e-9, atol=1e-12)
        assert not torch.allclose(mine, other, atol=1e-3)


def test_what_the_hints_of_17_say_was_measured():
    of, shown, sound = alone("17"), rows("17")[bugs_parallel.SHOWN], rows("17")[()]
    assert shown["half_12"] == sound["half_12"] and shown["end_12"] == [3, 3]
    assert shown["end_3_3_3_3"] == [3, 3] != shown["end_8_4"]
    assert shown["half_3_3_3_3"][0] == sound["half_3_3_3_3"][0]
    assert shown["half_3_3_3_3"][1] < sound["half_3_3_3_3"][1] - 5
    late = of["average_before_step"]["half_12"][1] - sound["half_12"][1]
    assert late == 1
    assert of["decay_exchanged"]["half_12"][1] <= sound["half_12"][0] + 1
    equal = "half_3_3_3_3"
    assert of["divided_twice"][equal][0] > 2 * sound[equal][0]
    for name in ("rate_times_parts", "step_for_each_part", "sum_of_parts"):
        assert of[name][equal][0] < sound[equal][0] / 2
    for name in ("gradient_kept", "sum_over_examples"):
        assert of[name]["half_12"][0] < sound["half_12"][0] / 2
    assert abs(of["first_part_for_all"]["end_3_3_3_3"][1] - 1) < 0.1
    assert of["last_part_only"]["end_3_3_3_3"][1] > 6
