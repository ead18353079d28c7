"""Which strategies there are, and how one is found by the name a person typed."""

import importlib
import inspect
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from schemas.base import Event, SessionId
from schemas.control import StartRequest
from schemas.errors import FieldError
from schemas.ids import is_flatten
from schemas.instruments import DataKind
from services.strategy.config import Isolation, StrategyConfig
from services.strategy.formulas_folder import Found, formulas_in
from services.strategy.interface import Parameters, Strategy, wanted_of
from services.strategy.library.btc_basis import BtcBasis
from services.strategy.library.buy_and_hold import BuyAndHold
from services.strategy.library.ema_cross import EmaCross
from services.strategy.library.pure_lending import PureLending
from services.strategy.library.target_weights import TargetWeights
from services.strategy.parameters import meant
from services.strategy.versions import version_of

BUILT_IN: dict[str, type[Strategy[Any]]] = {
    "btc_basis": BtcBasis,
    "buy_and_hold": BuyAndHold,
    "ema_cross": EmaCross,
    "pure_lending": PureLending,
    "target_weights": TargetWeights,
}
STRATEGY = "$.strategy"
OURS = "services."
"""Modules that are part of this program; all others are a person's own code."""


class Own:
    """Marks the classes that stand for strategies which run in a process of their own."""

    asked: ClassVar[StartRequest | None] = None
    """The start that was checked there last."""

    checked: ClassVar[Mapping[str, Any] | None] = None
    """The parameters that came of it; None: something is wrong with them."""

    mistakes: ClassVar[tuple[FieldError, ...]] = ()

    @classmethod
    def check(cls, request: StartRequest) -> tuple[Mapping[str, Any] | None, list[FieldError]]:
        """Return the parameters of a start, or what is wrong with it."""
        if request != cls.asked:
            wanted = "one start of a strategy at a time: repeat it"
            return None, [FieldError(path=STRATEGY, found="it was checked anew", wanted=wanted)]
        return cls.checked, list(cls.mistakes)


class Catalogue:
    """The built-in strategies, and those of your own: classes, and formula files.

    Args:
        classes: `module:Class` by the name to start it by; one may be named as it is, too.
        formulas: what each formula file became, by its name.
    """

    def __init__(
        self,
        classes: Mapping[str, str] | None = None,
        formulas: Mapping[str, Found] | None = None,
    ) -> None:
        self._classes = dict(classes or {})
        self._formulas = dict(formulas or {})
        self._stand_ins: dict[str, type[Strategy[Any]]] = {}
        self._isolation = Isolation.NONE

    def isolate(self, isolation: Isolation) -> None:
        """Have strategies run in processes of their own from now on; `learn` who stands in."""
        self._isolation = isolation

    def is_isolated(self, name: str) -> bool:
        """Return whether a session of this strategy runs in a process of its own."""
        if self._isolation is not Isolation.OWN_CODE:
            return self._isolation is Isolation.ALL
        target = self._classes.get(name, name)
        return name not in self._formulas and ":" in target and not target.startswith(OURS)

    def learn(self, name: str, stand_in: type[Strategy[Any]]) -> None:
        """Have this class stand for the strategy of that name."""
        self._stand_ins[name] = stand_in

    def is_known(self, name: str) -> bool:
        """Return whether something stands for the strategy of that name."""
        return name in self._stand_ins

    @property
    def names(self) -> list[str]:
        """Every name a session can be started by, sorted."""
        return sorted({**BUILT_IN, **self._classes, **self._formulas})

    def mistakes(self, name: str) -> list[FieldError]:
        """Return everything that is wrong with the strategy `name` stands for."""
        formula = self._formulas.get(name)
        if isinstance(formula, tuple):
            return list(formula)
        found = self.find(name)
        return [found] if isinstance(found, FieldError) else []

    def formula_mistakes(self) -> list[FieldError]:
        """Return everything that is wrong with any formula file, file by file."""
        broken = [each for each in self._formulas.values() if isinstance(each, tuple)]
        return [error for errors in broken for error in errors]

    def find(self, name: str) -> type[Strategy[Any]] | FieldError:
        """Return the class that `name` stands for, or the first thing that is wrong with it."""
        if self.is_isolated(name):
            wanted = "a start of it, which loads it in a process of its own"
            unknown = FieldError(path=STRATEGY, found=f"{name} was not loaded", wanted=wanted)
            return self._stand_ins.get(name) or unknown
        formula = self._formulas.get(name)
        if formula is not None:
            return formula[0] if isinstance(formula, tuple) else formula
        target = self._classes.get(name, name)
        if ":" in target:
            return _loaded(target)
        if target in BUILT_IN:
            return BUILT_IN[target]
        wanted = f"one of {', '.join(self.names)}, or module:Class" + meant(name, self.names)
        return FieldError(path=STRATEGY, found=repr(name), wanted=wanted)

    def version_of(self, name: str) -> str:
        """Return the version of the strategy `name` stands for; empty where there is none."""
        found = self.find(name)
        return "" if isinstance(found, FieldError) else version_of(found)

    def wanted(self) -> frozenset[type[Event]]:
        """Return the market events that any strategy with a name here has a hook for.

        One that cannot be loaded wants nothing: it is reported to whoever starts it.
        """
        found = (self.find(name) for name in self.names)
        return frozenset(
            kind for each in found if not isinstance(each, FieldError) for kind in wanted_of(each)
        )


def catalogue_of(config: StrategyConfig) -> Catalogue:
    """Return all strategies of a configuration; formula files are read here, once."""
    taken = (*BUILT_IN, *config.classes)
    return Catalogue(config.classes, formulas_in(config.formulas, taken))


def slug_of(name: str) -> str:
    """Return the name as sessions are called by it, in characters that a subject can hold.

    No session may be taken for a flatten: those close what others hold.
    """
    tail = name.rpartition(":")[2]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", tail).lower()
    slug = re.sub(r"[^a-z0-9_-]", "_", snake) or "session"
    return f"own_{slug}" if is_flatten(SessionId(f"{slug}-")) else slug


def _loaded(target: str) -> type[Strategy[Any]] | FieldError:
    """Return the class at `module:Class`; its module runs here, so it may fail in any way."""
    module_name, _, class_name = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except KeyboardInterrupt:  # a person's, who does not want to wait for it
        raise
    except BaseException as error:
        why = f"module {module_name} cannot be loaded: {type(error).__name__}: {error}"
        wanted = "a module in strategy.folders, or an installed one; mend it, then restart strategy"
        return FieldError(path=STRATEGY, found=why, wanted=wanted)
    found = getattr(module, class_name, None)
    if isinstance(found, type) and issubclass(found, Strategy) and found is not Strategy:
        return _misshapen(found, class_name) or found
    if found is not None:
        why = f"{class_name} in {module.__name__} is not a Strategy"
        wanted = "a class made from services.strategy.interface.Strategy"
        return FieldError(path=STRATEGY, found=why, wanted=wanted)
    own = [n for n, each in vars(module).items() if _is_own_strategy(each, module_name)]
    why = f"module {module_name} has no {class_name or 'name behind the colon'}"
    has = ", ".join(own) or "it has no strategy"
    return FieldError(path=STRATEGY, found=why, wanted=f"one of its strategies: {has}")


def _misshapen(found: type[Strategy[Any]], name: str) -> FieldError | None:
    """Return the first thing that would fail, or be passed over, only once a session needs it."""
    made: Any = found.parameters_type  # of a person's own class, either may be anything
    reads: Any = found.reads
    if not (isinstance(made, type) and issubclass(made, Parameters)):
        why = f"parameters_type of {name} is {made!r}"
        wanted = "a class made from services.strategy.interface.Parameters"
        return FieldError(path=STRATEGY, found=why, wanted=wanted)
    is_many = isinstance(reads, tuple | list)
    if not (is_many and all(isinstance(each, DataKind) for each in reads)):
        why = f"reads of {name} is {reads!r}"
        return FieldError(path=STRATEGY, found=why, wanted="a tuple, like (DataKind.FUNDING,)")
    hooks = (each for each in dir(found) if each.startswith("on_") or each == "recall")
    for hook in hooks:
        called: Any = getattr(found, hook)
        if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
            why = f"{hook} of {name} has a `yield`, and nobody goes on with it: it would do nothing"
            return FieldError(path=STRATEGY, found=why, wanted=f"`def {hook}`, without `yield`")
        if inspect.iscoroutinefunction(called):
            why = f"{hook} of {name} is a coroutine, which nobody awaits: it would do nothing"
            return FieldError(path=STRATEGY, found=why, wanted=f"`def {hook}`, without `async`")
    return None


def _is_own_strategy(each: object, module_name: str) -> bool:
    is_strategy = isinstance(each, type) and issubclass(each, Strategy)
    return is_strategy and each.__module__ == module_name
