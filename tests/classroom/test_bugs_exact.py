r"""The bugs of chapters 14 and 15: their code, and what their hints say."""

import pytest
import torch
from evidence import SCRIPTS, given, rows

bugs_flow, bugs_inpaint = SCRIPTS["14"], SCRIPTS["15"]


def test_the_code_of_14_is_that_of_the_run():
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()

    def flow(z, time):
        return torch.sin(z + 3 * time[:, None])

    alpha_bar = bugs_flow.SCHEDULES["cosine"].alpha_bar
    shared = (flow, alpha_bar, [1000, 800, 500, 100, 0], x)
    got = given("14", "draw_by_flow")(*shared)
    run = bugs_flow.draw_by_flow(*shared, bugs_flow.SHOWN)
    torch.testing.assert_close(got, run, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(got, bugs_flow.draw_by_flow(*shared), atol=1e-3)


def test_the_code_of_15_is_that_of_the_run():
    made = torch.Generator().manual_seed(0)
    x, known = (torch.randn(6, 4, generator=made).double() for _ in range(2))
    noise = torch.randn(4, 3, 3, 6, 4, generator=made).double()
    mask = torch.tensor([True, False, False, True])

    def denoise(x, t):
        return torch.sin(x + t / 1000)

    alpha_bar = bugs_inpaint.SCHEDULE.alpha_bar
    shared = (denoise, alpha_bar, [900, 700, 300, 40, 0], x, known, mask, noise)
    got = given("15", "inpaint")(*shared)
    run = bugs_inpaint.inpaint(*shared, bugs_inpaint.SHOWN)
    torch.testing.assert_close(got, run, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(got, bugs_inpaint.inpaint(*shared), atol=1e-3)


def test_sound_code_draws_what_it_should():
    flow = bugs_flow.end((), "cosine", 1000, 2.0, 0.25)
    assert flow == pytest.approx([2.0, 0.5], abs=0.01)
    mean, deviation = bugs_inpaint.moments((), N=100)
    replaced = 0.938, 0.555  # with 1,000 steps; 100 come near
    assert mean[0] == pytest.approx(1.5) and deviation[0] < 1e-12
    assert mean[1] == pytest.approx(replaced[0], abs=0.03)
    assert deviation[1] == pytest.approx(replaced[1], abs=0.03)


def test_moments_are_those_of_samples():
    stops = [t for t in torch.linspace(1000, 0, 26).round().long().tolist() if t >= 200]
    made = torch.Generator().manual_seed(1)
    noise = torch.randn(len(stops) - 1, 2, 3, 4000, 2, generator=made).double()
    x = torch.randn(4000, 2, generator=made).double()
    known = torch.tensor([bugs_inpaint.KNOWN, 0.0]).double().expand(4000, 2)
    of = bugs_inpaint.SCHEDULE.alpha_bar
    denoise = bugs_inpaint.best_denoiser(bugs_inpaint.COVARIANCE, of)
    shared = (denoise, of, stops, x, known, torch.tensor([True, False]), noise)
    for faults in ((), bugs_inpaint.SHOWN):
        drawn = bugs_inpaint.inpaint(*shared, faults)
        mean, deviation = bugs_inpaint.moments(faults, 200, R=2)
        for i in range(2):  # five standard errors of 4,000 samples
            error = deviation[i] / 4000**0.5
            assert abs(float(drawn[:, i].mean()) - mean[i]) < 5 * error
            assert abs(float(drawn[:, i].std()) - deviation[i]) < 5 * error / 2**0.5


def test_what_the_hints_of_14_say_was_measured():
    of = {faults[0]: row for faults, row in rows("14").items() if len(faults) == 1}
    shown, sound = rows("14")[bugs_flow.SHOWN], rows("14")[()]
    every = [abs(n) for pair in shown.values() for n in pair]
    means = [pair[0] for key, pair in shown.items() if "half" in key]
    assert max(every) <= 2.0 and 0 < min(means) and max(means) <= 2.0
    assert abs(shown["flow_half_40"][0] - 2) < 0.005
    for name in bugs_flow.SCHEDULES:
        assert abs(of["time_turned"][f"{name}_half_40"][0] - 2) > 0.4
        assert of["time_is_alpha_bar"][f"{name}_one_40"][1] < 0.1
        assert of["not_scaled"][f"{name}_one_40"][1] > 1000
        assert of["answer_turned"][f"{name}_half_40"][0] < 0
        assert abs(of["answer_is_v"][f"{name}_half_40"][0] - 3) < 0.15
        assert of["x_0_for_noise"][f"{name}_one_40"][1] < 0.01
        for law in bugs_flow.LAWS:
            assert of["x_0_of_x"][f"{name}_{law}_40"][1] > 5
            assert of["noise_of_x"][f"{name}_{law}_40"][1] > 3
            drawn = of["asked_at_s"][f"flow_{law}_40"]
            assert drawn == pytest.approx([0, 1], abs=1e-3)
    assert min(shown[f"{name}_one_40"][1] for name in bugs_flow.SCHEDULES) > 0.1
    assert of["no_root"]["flow_one_40"][1] < 0.1
    assert shown["flow_one_40"][1] == pytest.approx(sound["flow_one_40"][1], abs=0.002)
    assert shown["flow_point_10"][1] > 5 * sound["flow_point_10"][1]


def test_what_the_hints_of_15_say_was_measured():
    of = {faults[0]: row for faults, row in rows("15").items() if len(faults) == 1}
    shown, sound = rows("15")[bugs_inpaint.SHOWN], rows("15")[()]
    known = [key for key in sound if key.startswith("known")]
    for key in known:
        assert shown[key][0] < sound[key][0] - 0.005
        assert of["known_clean"][key][1] == 0
        assert of["known_not_shrunk"][key][0] == pytest.approx(1.5, abs=1e-3)
        for name in ("asked_at_s", "large_variance", "forward_at_the_end"):
            assert of[name][key] == sound[key]
    assert shown["known_200_1"][1] < 0.8 * sound["known_200_1"][1]
    assert abs(shown["known_600_1"][0] - 0.2) < 0.05
    assert of["mask_turned"]["known_0_1"][0] == 0
    assert round(shown["known_0_1"][0], 2) == 1.49 == round(shown["known_0_5"][0], 2)
    late = of["not_at_the_last_stop"]
    assert 1.5 - late["known_0_5"][0] > 2 * (1.5 - late["known_0_1"][0])
    for name in ("never_forward", "forward_from_0", "forward_not_shrunk"):
        for key in sound:
            assert key.endswith("5") or of[name][key] == sound[key]
