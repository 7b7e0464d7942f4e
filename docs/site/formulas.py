r"""Formulas of docstrings, written for a terminal, as LaTeX: sqrt(1 - beta_t) noise."""

import re

GREEK = {"alpha", "beta", "sigma", "eta", "lambda", "gamma", "rho", "epsilon", "theta"}
WORDS = {"noise": r"\varepsilon", "alpha_bar": r"\bar\alpha"}
NAMED = {"sqrt": r"\sqrt", "floor": "", "N": r"\mathcal N", "KL": r"\mathrm{KL}"}
NAMED |= {"q": "q", "p": "p"}
BRACKETS = {"sqrt": "{}", "floor": (r"\lfloor", r"\rfloor")}
FUNCTIONS = {"sqrt", "log", "exp", "min", "max", "floor", "q", "p", "N", "KL"}
LETTERS = set("abdnstuvxyzTNIMDL") | {"i", "j", "k", "w"}
TOKEN = re.compile(
    r"(?P<name>(?:alpha_bar|[A-Za-z]+)(?:_(?:\{[\w+-]+\}|[0-9A-Za-z]+))?(?![\w\[{]))"
    r"|(?P<number>\d+(?:\.\d+)?(?![\w:]))"
    r"|(?P<dots>\.\.\.)"
    r"|(?P<sign><=|>=|\|\||[-=+/*^|<>,()])"
    r"|(?P<space> +)"
)
SHAPE, WORD = re.compile(r"\([^()]*,\)"), re.compile(r"[\w{}\[\]]+|.")
SIGNS = {"<=": r"\le", ">=": r"\ge", "||": r"\,\|\,", "*": r"\,", "|": r"\mid"}
OPERATORS = {"...", "<=", ">=", "=", "+", "-", "/", "*", "^", "<", ">"}


def symbol(name):
    r"""The LaTeX of a name such as alpha_bar_t, or None for a word of the language."""
    stem, _, index = name.partition("_")
    if name.startswith("alpha_bar"):
        stem, index = "alpha_bar", name[len("alpha_bar_") :]
    if stem in WORDS:
        stem = WORDS[stem]
    elif stem in GREEK:
        stem = rf"\{stem}"
    elif stem not in LETTERS or not re.fullmatch(r"|\w|\d+|\{.*\}", index):
        return None
    return f"{stem}_{{{index.strip('{}')}}}" if index else stem


def runs(line):
    r"""Split a line into (is a formula, text). The texts together are the line."""
    at, plain = 0, 0
    while at < len(line):
        end = _end(line, at) if at == 0 or not line[at - 1].isalnum() else at
        if end > at and _tells(line[at:end]) and not SHAPE.match(line, at):
            yield False, line[plain:at]
            yield True, line[at:end]
            at = plain = end
        else:
            at = (SHAPE.match(line, at) or WORD.match(line, at)).end()
    yield False, line[plain:]


def _end(line, at):
    # where the longest formula that begins here ends: brackets closed, nothing dangling
    depth, end, before = 0, at, None
    while found := TOKEN.match(line, at):
        kind, text = found.lastgroup, found[0]
        if kind == "name" and not symbol(text) and text not in FUNCTIONS:
            break
        if (
            kind == "name"
            and text in FUNCTIONS - LETTERS
            and line[found.end() :][:1] != "("
        ):
            break
        if text == "," and not depth:
            break
        depth += (text == "(") - (text == ")")
        if depth < 0 or (before is None and kind in ("space", "dots")):
            break
        if before is None and kind == "sign" and text != "(":
            break
        at = found.end()
        if not depth and (kind in ("name", "number") or text == ")"):
            end = at
        before = text
    return end


def _tells(text):
    # a formula, and no word: an index, a sign between two things, a law or a root
    tokens = [found[0] for found in TOKEN.finditer(text)]
    inside = any(token in OPERATORS for token in tokens)
    called = re.search(r"\b(sqrt|log|exp|KL|N|q|p)\(", text)
    known = any(token[:1].isalpha() for token in tokens)
    indexed = len(tokens) == 1 and "_" in text.replace("alpha_bar", "")
    return known and bool(called or inside or indexed)


def latex(text):
    r"""The LaTeX of one formula as `runs` finds them."""
    out, open_ = [], []
    tokens = [(found.lastgroup, found[0]) for found in TOKEN.finditer(text)]
    following = [*(token for _, token in tokens[1:]), ""]
    before = ""
    for (kind, token), after in zip(tokens, following, strict=True):
        if kind == "name" and token in FUNCTIONS and after == "(":
            out.append(NAMED.get(token, rf"\{token}"))
        elif kind == "name":
            out.append(symbol(token))
        elif token == "(":
            open_.append(BRACKETS.get(before, "()"))
            out.append(open_[-1][0])
        elif token == ")":
            out.append(open_.pop()[1])
        elif kind == "dots":
            out.append(r"\dots")
        else:
            out.append(SIGNS.get(token, token))
        before = token
    return re.sub(r" +", " ", " ".join(out)).strip()


def as_rst(line, escaped):
    r"""A line of a docstring with its formulas in the role `math`.

    escaped: a function (text) -> text for what is no formula. Text between backquotes,
    names with an index in square brackets and shapes like (T+1,) stay as they are.
    """
    parts = re.split(r"(`[^`]*`)", line)
    return "".join(
        text
        if i % 2 and not formula
        else f":math:`{latex(text)}`"
        if formula
        else escaped(text)
        for i, part in enumerate(parts)
        for formula, text in ([(False, part)] if i % 2 else runs(part))
    )
