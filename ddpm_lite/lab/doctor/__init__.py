r"""What is wrong, in words: with this installation, and with a run, one question at a time.

A run is asked in the order in which one fault hides the next. Are its files whole, and
are its weights? Does the chain end in N(0, I), and are the pictures what they should be?
What does the log of the training say? Then the network is asked: what does it predict, is
its loss below what a covariance matrix knows and above what only the training set knows
(chapter 04), does the sampler keep the spread of the data, and what do its pictures look
like? The first thing that is wrong is the one to mend first. Nothing is trained, and
nothing is written into the run.
"""

from ... import hand_on

CONTENTS = {
    "findings": ("Finding", "table"),
    "mathematics": (),
    "installation": (),
    "case": (),
    "files": (),
    "weights": (),
    "pictures": (),
    "chain": (),
    "log": (),
    "answers": (),
    "loss": (),
    "samples": (),
    "examination": ("diagnose", "examine"),
}

__getattr__, __dir__ = hand_on(__name__, CONTENTS)
