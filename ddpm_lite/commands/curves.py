r"""The command `curves`: the log of a run becomes one picture."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from ..checks import check_given
from ..training.curves import draw_curves
from .shared import new_file


@dataclass(frozen=True)
class Options:
    r"""Draw the curves of a run: loss, bands of t, held-out loss, gradient, EMA."""

    run: Positional[str]  # the run's folder
    out: str = ""  # a new file x.png; RUN/curves.png if not given

    def __post_init__(self):
        check_given("the folder of a run", self.run)


def run(options, threads):
    r"""Draw, and print the picture's path. threads: of no use here."""
    out = options.out or Path(options.run) / "curves.png"
    if options.out:
        if not options.out.lower().endswith(".png"):
            raise ValueError(f"--out must end in .png, got {options.out}")
        new_file(out)
    print(draw_curves(options.run, out))
