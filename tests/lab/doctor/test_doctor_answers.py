r"""A network that predicts something else than it says, or with the wrong sign."""

from doctor_runs import SPOILED, check_named, every_fault, examined, rewrite


def says_v_predicts_noise(run):
    rewrite(run, prediction="v")


@every_fault((says_v_predicts_noise, "prediction", SPOILED))
def test_a_seeded_fault_is_named(run, fault, name, follows):
    check_named(run, fault, name, follows)


def answer_negated(run):
    def negated(own):
        return own | {k: -v for k, v in own.items() if k.startswith("conv_out")}

    rewrite(run, negated, negated)


def test_an_answer_of_the_wrong_sign_is_seen_at_the_end_of_the_chain(run):
    answer_negated(run)
    found = {f.what: f for f in examined(run)}
    assert found["noise at t = T"].level == "wrong"
    assert found["noise at t = T"].numbers["correlation"] < -0.9
