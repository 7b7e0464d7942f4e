r"""Wrong answers to the exercises: proof that the checks catch them, and say why."""

from importlib import import_module

from ddpm_lite.classroom.exercise import WITH_BUGS


def wrong(number, words, faults=None):
    r"""Mark a function as a wrong answer to `number`, whose hint must hold `words`.

    faults: the names that are handed in with it, where there is a bug to find.
    """

    def marked(function):
        function.answers, function.words, function.faults = number, words, faults
        return function

    return marked


def handed_in(answer):
    r"""What `verdict` takes for a wrong answer: the function, or it and `faults`."""
    if answer.faults is None:
        return answer
    return answer, lambda: answer.faults


def wrong_answers(chapter):
    r"""The wrong answers of a chapter such as "02", in the order of its file."""
    modules = [f"wrong.ch{chapter}"] + [f"wrong.bug{chapter}"] * (chapter in WITH_BUGS)
    values = [v for m in modules for v in vars(import_module(m)).values()]
    return [v for v in values if hasattr(v, "words")]
