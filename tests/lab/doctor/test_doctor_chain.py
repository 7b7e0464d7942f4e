r"""The chain: a schedule that does not reach noise, too few steps, an uncut x_0."""

from doctor_runs import SPOILED, check_named, edit, every_fault, examined, rewrite, wrong

from ddpm_lite import Schedule


def short_chain(run):
    rewrite(run, schedule=Schedule.linear(100), T=100)


def one_sampling_step(run):
    edit(run / "config.json", sample_steps=1)


@every_fault(
    (short_chain, "prior gap", SPOILED | {"saturated samples"}),
    (one_sampling_step, "sampler", set()),
)
def test_a_seeded_fault_is_named(run, fault, name, follows):
    check_named(run, fault, name, follows)


def test_an_x_0_that_is_not_cut_is_noted_beside_the_noise_that_comes_of_it(run):
    rewrite(run, clip=False)
    findings = examined(run)
    assert wrong(findings) == ["noisy samples"]
    assert {f.what: f.level for f in findings}["sampler"] == "note"
