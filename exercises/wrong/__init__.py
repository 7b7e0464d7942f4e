r"""Wrong answers to the exercises: proof that the checks catch them, and say why."""

from importlib import import_module


def wrong(number, words):
    r"""Mark a function as a wrong answer to `number`, whose hint must hold `words`."""

    def marked(function):
        function.answers, function.words = number, words
        return function

    return marked


def wrong_answers(chapter):
    r"""The wrong answers of a chapter such as "02", in the order of its file."""
    module = import_module(f"wrong.ch{chapter}")
    return [v for v in vars(module).values() if hasattr(v, "words")]
