"""Expressions of formula files: numbers, names and a closed list of functions, and nothing else.

An expression is read once. What is not on the lists below is refused then, with what was found and
what was meant: there is no attribute, index, text, keyword, comprehension or call of anything that
has not been named here. All numbers are floats, so that nothing can grow beyond them. What is left
is evaluated by simpleeval, over names that are looked up in one dictionary.
"""

import ast
import math
import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from simpleeval import SimpleEval

from services.strategy.parameters import meant

CHARS_MAX = 1_000
NODES_MAX = 300
EXPONENT_MAX = 8.0
NUMBER_MAX = 1e15
BEFORE = "_before"
"""Ends the name of a series' value one candle ago."""


class FormulaError(ValueError):
    """An expression is not allowed, or has no value; `found` and `wanted` are for people."""

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(f"found {found}; wanted {wanted}")
        self.found, self.wanted = found, wanted


class Function(NamedTuple):
    """What may be called, and with how many arguments."""

    call: Callable[..., float]
    counts: tuple[int, ...]
    """Numbers of arguments that it takes."""


def _clamp(value: float, low: float, high: float) -> float:
    return max(low, min(value, high))


def _ratio(value: float, by: float, otherwise: float) -> float:
    return value / by if by else otherwise


def _sign(value: float) -> float:
    return math.copysign(1.0, value) if value else 0.0


def _floor(value: float) -> float:
    return float(math.floor(value))


def _ceil(value: float) -> float:
    return float(math.ceil(value))


FUNCTIONS: Mapping[str, Function] = {
    "abs": Function(abs, (1,)),
    "ceil": Function(_ceil, (1,)),
    "clamp": Function(_clamp, (3,)),
    "exp": Function(math.exp, (1,)),
    "floor": Function(_floor, (1,)),
    "log": Function(math.log, (1,)),
    "max": Function(max, tuple(range(2, 9))),
    "min": Function(min, tuple(range(2, 9))),
    "ratio": Function(_ratio, (3,)),
    "sign": Function(_sign, (1,)),
    "sqrt": Function(math.sqrt, (1,)),
}
"""All that an expression may call, beside those that look one candle back."""

LOOKING_BACK = {"crossed_above": 2, "crossed_below": 2, "previous": 1}
"""Functions of series: written out, when they are read, with the values one candle ago."""

OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_SIGNS = frozenset({*OPERATORS, ast.And, ast.Or})
_SHAPES = (ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.IfExp)
_PLAIN = "numbers, names, + - * / % **, comparisons, and, or, not, x if y else z, and calls"


class Expression:
    """One expression that was read and allowed.

    Attributes:
        text: as it was written.
        names: what it reads, sorted.
    """

    __slots__ = ("_node", "names", "text")

    def __init__(self, text: str, node: ast.expr) -> None:
        self.text = text
        self._node = ast.Expr(node)
        found = (each.id for each in ast.walk(node) if isinstance(each, ast.Name))
        self.names = tuple(sorted(set(found) - FUNCTIONS.keys()))

    def value(self, evaluator: SimpleEval) -> float | None:
        """Return its value now; None while something that it reads is not known yet.

        Raises:
            FormulaError: it has none: a division by zero, or a number beyond all bounds.
        """
        names: Mapping[str, float | None] = evaluator.names
        for name in self.names:
            if names[name] is None:
                return None
        try:
            value = float(evaluator.eval(self.text, previously_parsed=self._node))
        except (ArithmeticError, ValueError, TypeError) as error:
            shown = ", ".join(f"{name} = {names[name]}" for name in self.names)
            raise FormulaError(f"{self.text} ({error}; {shown})", "a number") from error
        if not math.isfinite(value):
            raise FormulaError(f"{self.text} is {value}", "a number")
        return value


def evaluator_of(names: dict[str, float | None]) -> SimpleEval:
    """Return what evaluates expressions over `names`, which may change between two evaluations."""
    functions = {name: each.call for name, each in FUNCTIONS.items()}
    return SimpleEval(operators=dict(OPERATORS), functions=functions, names=names)


def read_expression(
    text: str, names: Iterable[str], series: Iterable[str], fixed: Iterable[str] = ()
) -> Expression:
    """Return the expression that `text` is.

    Args:
        text: as it was written.
        names: all that it may read, series included.
        series: of these, what has a value one candle ago.
        fixed: of these, what never changes.

    Raises:
        FormulaError: something in it is not allowed.
    """
    node = parsed(text)
    reader = _Reader(list(names), frozenset(series), frozenset(fixed))
    return Expression(text, ast.fix_missing_locations(reader.visit(node)))


def parsed(text: str) -> ast.expr:
    """Return the tree of one expression, however little of it may be allowed.

    Raises:
        FormulaError: it is too long, or no expression.
    """
    if len(text) > CHARS_MAX:
        raise FormulaError(f"{len(text)} characters", f"at most {CHARS_MAX}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what only Python would be lenient about is refused
            node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise FormulaError(f"{text!r} ({said})", "one expression") from error
    count = sum(1 for _ in ast.walk(node))
    if count > NODES_MAX:
        raise FormulaError(f"an expression of {count} parts", f"at most {NODES_MAX}")
    return node


class _Reader(ast.NodeTransformer):
    """Allows what is on the lists, and writes out what looks back; raises at anything else."""

    def __init__(self, names: list[str], series: frozenset[str], fixed: frozenset[str]) -> None:
        self._names = names
        self._series = series
        self._fixed = fixed

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Go on below what is allowed."""
        signs = getattr(node, "ops", [getattr(node, "op", ast.And())])
        if not isinstance(node, _SHAPES) or any(type(sign) not in _SIGNS for sign in signs):
            raise FormulaError(_shown(node), _PLAIN)
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                setattr(node, name, [self._below(each) for each in value])
            elif isinstance(value, ast.AST):
                setattr(node, name, self._below(value))
        return node

    def _below(self, node: ast.AST) -> ast.AST:
        """Go on below a node; signs were looked at with it."""
        return node if type(node) in _SIGNS else self.visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Take numbers only, as floats."""
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise FormulaError(_shown(node), "a number")
        if abs(value) > NUMBER_MAX:
            raise FormulaError(_shown(node), f"a number up to {NUMBER_MAX:g}")
        return ast.Constant(float(value))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Take names that are known."""
        if node.id in self._names:
            return node
        if node.id in FUNCTIONS or node.id in LOOKING_BACK:
            raise FormulaError(node.id, f"a call: {node.id}(...)")
        wanted = "one of " + ", ".join(n for n in self._names if not n.endswith(BEFORE))
        raise FormulaError(node.id, wanted + meant(node.id, self._names))

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Take powers with a small, fixed exponent only."""
        if isinstance(node.op, ast.Pow):
            exponent = node.right
            if isinstance(exponent, ast.UnaryOp) and isinstance(exponent.op, ast.USub):
                exponent = exponent.operand
            value = exponent.value if isinstance(exponent, ast.Constant) else None
            is_small = isinstance(value, int | float) and value <= EXPONENT_MAX
            if not is_small:
                raise FormulaError(_shown(node), f"a number up to {EXPONENT_MAX:g} after **")
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Take calls of known functions, with as many arguments as they have."""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        known = [*FUNCTIONS, *LOOKING_BACK]
        if name not in known:
            wanted = "one of " + ", ".join(sorted(known))
            raise FormulaError(_shown(node.func), wanted + meant(name, known))
        counts = FUNCTIONS[name].counts if name in FUNCTIONS else (LOOKING_BACK[name],)
        has_stars = any(isinstance(each, ast.Starred) for each in node.args)
        if node.keywords or has_stars or len(node.args) not in counts:
            least, most = counts[0], counts[-1]
            wanted = str(least) if least == most else f"{least} to {most}"
            raise FormulaError(_shown(node), f"{name} with {wanted} plain arguments")
        arguments = [self.visit(each) for each in node.args]
        if name in LOOKING_BACK:
            return self._looking_back(name, arguments)
        return ast.Call(func=node.func, args=arguments, keywords=[])

    def _looking_back(self, name: str, arguments: list[ast.expr]) -> ast.expr:
        before = [self._before(each) for each in arguments]
        if name == "previous":
            return before[0]
        was, now = (ast.LtE(), ast.Gt()) if name == "crossed_above" else (ast.GtE(), ast.Lt())
        return ast.BoolOp(
            op=ast.And(),
            values=[
                ast.Compare(left=before[0], ops=[was], comparators=[before[1]]),
                ast.Compare(left=arguments[0], ops=[now], comparators=[arguments[1]]),
            ],
        )

    def _before(self, node: ast.expr) -> ast.expr:
        """Return what a series was one candle ago; numbers and parameters stay what they are."""
        if isinstance(node, ast.Constant):
            return node
        if isinstance(node, ast.Name):
            if node.id in self._series:
                return ast.Name(id=node.id + BEFORE, ctx=ast.Load())
            if node.id in self._fixed:
                return node
        raise FormulaError(
            _shown(node), "the name of a series, a parameter or a number, to look back at"
        )


def _shown(node: ast.AST) -> str:
    try:
        text = ast.unparse(node)
    except (ValueError, RecursionError, AttributeError):
        text = type(node).__name__
    return text if len(text) <= 80 else text[:77] + "..."
