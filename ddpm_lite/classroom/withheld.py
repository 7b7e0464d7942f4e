r"""What stands in the grader's package where an exercise asks for the name itself.

It can be imported, kept, named in annotations and inherited from: nothing of a notebook
is lost by comparing with it. It says what it is when somebody calls it.
"""


class _Withheld(type):
    def __call__(cls, *_, **__):
        raise ImportError(cls.words)

    def __getattr__(cls, name):
        raise AttributeError(f"{name}: {cls.words}" if name[:2] != "__" else name)

    def __repr__(cls):
        return f"<{cls.words}>"


def stand_in(module, name):
    r"""A class of this name that says, when called, that the module has none such here."""
    words = (
        f"the grader's copy of {module} has no {name}: this chapter's exercises ask "
        "for it, or for a part of it"
    )
    return _Withheld(name, (), {"words": words, "__module__": module})
