r"""Findings as text."""

from ddpm_lite.lab.doctor import Finding, table


def test_the_table_puts_wrong_ones_first_and_a_verdict_last():
    findings = [
        Finding("ok", "one", "All is well. " * 20),
        Finding("wrong", "second thing", "It is not so."),
        Finding("note", "three", "As it is."),
        Finding("wrong", "four", "Nor this."),
    ]
    lines = table(findings).splitlines()
    assert lines[0].startswith("wrong  second thing  It is not so.")
    assert lines[1].startswith("wrong  four          Nor this.")
    assert lines[2].startswith("note   three         As it is.")
    assert lines[3].startswith("ok     one           All") and lines[4].startswith(" " * 21)
    assert lines[-1] == "2 wrong, 1 to note, 1 in order; mend first: second thing"
    assert max(len(line) for line in lines) <= 100
    assert table([findings[0]]).endswith("0 wrong, 0 to note, 1 in order")
