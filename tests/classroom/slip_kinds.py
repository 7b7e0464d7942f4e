r"""The kinds of slip: each takes one node of a syntax tree and yields what may stand there.

Like the package's mutants (tests/mutation) these are the classic slips, but made from the
tree of a solution, all of them, instead of being written by hand.
"""

import ast
from copy import deepcopy

SWAPPED = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Div,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
}
COMPARED = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
RELATED = (
    ("min", "max", "sum"),
    ("mean", "sum"),
    ("amin", "amax", "mean"),
    ("argmin", "argmax"),
    ("sqrt", "square"),
    ("sin", "cos"),
    ("exp", "log"),
    ("log", "log2", "log10"),
    ("expm1", "exp"),
    ("log1p", "log"),
    ("round", "floor", "ceil"),
    ("isqrt", "sqrt"),
    ("cumsum", "cumprod"),
    ("sum", "prod"),
    ("var", "std"),
    ("randn", "rand"),
    ("randn_like", "rand_like"),
    ("ones", "zeros"),
    ("ones_like", "zeros_like"),
    ("triu", "tril"),
    ("softmax", "log_softmax"),
    ("float64", "float32"),
    ("uint8", "int64"),
    ("pairwise", "zip"),
    ("stack", "cat"),
    ("any", "all"),
)
COUNTED = ("range", "arange", "linspace", "randint", "full", "enumerate")


def replacements(node, context):
    r"""All that may stand in a node's place, as (kind, new node). context: a `Context`."""
    for kind in KINDS:
        for new in kind(node, context):
            yield kind.__name__, new


def constants(node, context):
    if not isinstance(node, ast.Constant) or context.said:
        return
    value = node.value
    if value is None or isinstance(value, (str, bytes)) or value is ...:
        return
    if isinstance(value, bool):
        others = [not value]
    elif isinstance(value, int):
        others = [value + 1, value - 1, 2 * value, 0]
    else:
        others = [2 * value, value / 2, value + 1, 0.0, 1.0]
    for other in others:
        if other != value:
            yield _number(other)


def operators(node, context):
    if isinstance(node, ast.BinOp):
        for op in SWAPPED.get(type(node.op), ()):
            yield ast.BinOp(node.left, op(), node.right)
        if not isinstance(node.op, (ast.Add, ast.Mult)) and not context.even:
            yield ast.BinOp(node.right, node.op, node.left)
        yield from (node.left, node.right)
    if isinstance(node, ast.AugAssign):
        for op in SWAPPED.get(type(node.op), ()):
            yield ast.AugAssign(node.target, op(), node.value)
        yield ast.Assign([node.target], node.value, lineno=node.lineno)
    if isinstance(node, ast.UnaryOp):
        yield node.operand


def signs(node, context):
    r"""Minus before a factor, a term or a whole value."""
    inside = isinstance(context.parent, (ast.BinOp, ast.Assign, ast.Return, ast.Tuple))
    plain = isinstance(node, (ast.Name, ast.Call, ast.BinOp, ast.Subscript))
    sums = isinstance(context.parent, ast.BinOp) and isinstance(
        context.parent.op, (ast.Add, ast.Sub)
    )
    fits = inside and plain and not sums and not context.indexing and not context.even
    if fits and context.loaded and not _constant(node):
        yield ast.UnaryOp(ast.USub(), node)


def comparisons(node, context):
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for op in COMPARED.get(type(node.ops[0]), ()):
            yield ast.Compare(node.left, [op()], node.comparators)
    if isinstance(node, ast.BoolOp):
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield ast.BoolOp(other, node.values)
        yield from node.values


def branches(node, context):
    if isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
        yield from (node.body, node.orelse)
    if isinstance(context.parent, (ast.If, ast.IfExp)) and context.field == "test":
        yield ast.UnaryOp(ast.Not(), node)
        yield from (ast.Constant(True), ast.Constant(False))


def calls(node, context):
    if not isinstance(node, ast.Call):
        return
    method = isinstance(node.func, ast.Attribute) and not context.is_module(node.func.value)
    if method:
        yield node.func.value
    conversion = isinstance(node.func, ast.Name) and node.func.id in ("int", "float")
    arithmetic = node.args and isinstance(node.args[0], ast.BinOp)
    if not conversion or arithmetic:
        yield from (a for a in node.args if not isinstance(a, ast.Starred))
    for i in range(len(node.args) - 1) if _name(node.func) not in ("min", "max") else ():
        args = [*node.args]
        args[i], args[i + 1] = args[i + 1], args[i]
        yield ast.Call(node.func, args, node.keywords)
    for i in range(len(node.args)):
        if len(node.args) > 1 or method:
            yield ast.Call(node.func, node.args[:i] + node.args[i + 1 :], node.keywords)
    for i in range(len(node.keywords)):
        rest = node.keywords[:i] + node.keywords[i + 1 :]
        yield ast.Call(node.func, node.args, rest)
    for i, arg in enumerate(node.args):
        if _name(node.func) in COUNTED and not isinstance(arg, (ast.Constant, ast.Tuple)):
            for op in (ast.Add(), ast.Sub()):
                more = ast.BinOp(arg, op, ast.Constant(1))
                args = [*node.args[:i], more, *node.args[i + 1 :]]
                yield ast.Call(node.func, args, node.keywords)


def relatives(node, context):
    r"""Another function or dtype of the same family."""
    name = _name(node)
    if name is None or not context.loaded:
        return
    for family in RELATED:
        for other in family if name in family else ():
            if other == name:
                continue
            if isinstance(node, ast.Attribute):
                yield ast.Attribute(node.value, other, node.ctx)
            elif other in ("min", "max", "sum", "round", "zip", "any", "all"):
                yield ast.Name(other, node.ctx)


def names(node, context):
    r"""Another variable of the same kind."""
    if isinstance(node, ast.Name) and context.loaded:
        for other in context.like(node.id):
            yield ast.Name(other, ast.Load())


def places(node, context):
    r"""Indices off by one, slices that begin or end elsewhere, axes exchanged."""
    if isinstance(node, ast.Subscript) and context.loaded:
        index = node.slice
        if not isinstance(index, (ast.Constant, ast.Slice, ast.Tuple, ast.UnaryOp)):
            for op in (ast.Sub(), ast.Add()):
                moved = ast.BinOp(index, op, ast.Constant(1))
                yield ast.Subscript(node.value, moved, node.ctx)
        yield node.value
    if isinstance(node, ast.Slice):
        for lower, upper in ((node.lower, None), (None, node.upper)):
            yield ast.Slice(lower, upper, node.step)
        for end in ("lower", "upper"):
            bound = getattr(node, end)
            if bound is not None and not isinstance(bound, ast.Constant):
                for op in (ast.Sub(), ast.Add()):
                    moved = {"lower": node.lower, "upper": node.upper, "step": node.step}
                    moved[end] = ast.BinOp(bound, op, ast.Constant(1))
                    yield ast.Slice(**moved)
            if bound is None and node.step is None:
                moved = {"lower": node.lower, "upper": node.upper}
                moved[end] = _number(1 if end == "lower" else -1)
                yield ast.Slice(**moved)
    if isinstance(node, ast.Tuple) and len(node.elts) > 1:
        for i in range(len(node.elts) - 1):
            elts = [*node.elts]
            elts[i], elts[i + 1] = elts[i + 1], elts[i]
            yield ast.Tuple(elts, node.ctx)


def returns(node, context):
    r"""Another local returned, of the same kind as what should be."""
    if isinstance(node, ast.Return) and node.value is not None:
        if not isinstance(node.value, ast.Name):
            for other in context.returned():
                yield ast.Return(ast.Name(other, ast.Load()))


def loops(node, context):
    if isinstance(node, (ast.For, ast.While)):
        yield _loop(node, [*node.body, ast.Break()])
    if isinstance(node, ast.For):
        for lower, upper in ((1, None), (None, -1), (0, 0)):
            if (lower, upper) == (0, 0):
                turned = ast.Call(ast.Name("list", ast.Load()), [node.iter], [])
                turned = ast.Subscript(turned, ast.Slice(step=_number(-1)), ast.Load())
            else:
                ends = (None if end is None else _number(end) for end in (lower, upper))
                turned = ast.Call(ast.Name("list", ast.Load()), [node.iter], [])
                turned = ast.Subscript(turned, ast.Slice(*ends), ast.Load())
            yield ast.For(node.target, turned, node.body, node.orelse, lineno=node.lineno)


def statements(node, context):
    r"""A statement left out."""
    kept = (ast.Return, ast.FunctionDef, ast.Pass, ast.Break, ast.Import, ast.ImportFrom)
    if isinstance(node, ast.stmt) and not isinstance(node, kept):
        yield ast.Pass()


KINDS = (constants, operators, signs, comparisons, branches, calls, relatives, names)
KINDS += (places, returns, loops, statements)


def _loop(node, body):
    made = deepcopy(node)
    made.body = body
    return made


def _number(value):
    if isinstance(value, bool) or value >= 0:
        return ast.Constant(value)
    return ast.UnaryOp(ast.USub(), ast.Constant(-value))


def _constant(node):
    return _name(getattr(node, "func", None)) in ("zeros", "zeros_like")


def _name(node):
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None
