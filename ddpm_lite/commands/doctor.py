r"""The command `doctor`: what is wrong with an installation, a run or a sampler."""

from dataclasses import asdict, dataclass

from tyro.conf import Positional

from ..lab import page
from ..lab.doctor import diagnose, table
from .shared import as_json, find_model


@dataclass(frozen=True)
class Options:
    r"""Check this installation, and a run if one is named, and say what is wrong."""

    run: Positional[str] = ""  # the run's folder
    network: str = ""  # module:Class of a network of your own, which is then imported
    lab: bool = False  # samplers and spacings on exact denoisers, with RUN's schedule
    json: bool = False  # print the findings as JSON


def run(options, threads):
    r"""Print the findings; returns 1 where one is wrong. threads: a Threads, not begun."""
    threads.begin()
    if options.lab:
        schedule = (
            find_model(options.run, network=options.network).schedule
            if options.run
            else None
        )
        findings, show = page.examine(schedule), page.page
    else:
        findings, show = diagnose(options.run or None, options.network or None), table
    if options.json:
        print(as_json([asdict(finding) for finding in findings]))
    else:
        print(show(findings))
    return int(any(finding.level == "wrong" for finding in findings))
