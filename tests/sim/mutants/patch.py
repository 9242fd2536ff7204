"""How a node is broken on purpose: a small text of a module's source is replaced, and the functions that change run the new code.

A function keeps its identity and gets another `__code__`, so whoever imported it before runs the broken one too. Only functions and
methods change: a constant or a class body is never evaluated again. The old text must stand in the module exactly once, and the
replacement must change at least one function: a mutant that no longer applies is an error and never a silent pass.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType


@dataclass(frozen=True)
class Edit:
    module: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """`where` names the profile and world in which it shows soon (see `scenes`); empty for the profiles drawn by seed."""

    name: str
    edits: tuple[Edit, ...]
    where: str = ""


def mutant(name: str, module: str, old: str, new: str, where: str = "") -> Mutant:
    """One with a single replacement. `module` is relative to `chain`."""
    return Mutant(name, (Edit(f"learningchain.chain.{module}", old, new),), where)


class DoesNotApply(Exception):
    """The list of mutants does not fit the source any more."""


@contextmanager
def applied(m: Mutant) -> Iterator[None]:
    """Broken while the context lasts."""
    changes = [change for edit in m.edits for change in _changes(edit)]
    with ExitStack() as stack:
        for function, code in changes:
            stack.callback(setattr, function, "__code__", function.__code__)
            function.__code__ = code
        yield


@cache
def _changes(edit: Edit) -> tuple[tuple[FunctionType, CodeType], ...]:
    """The live functions that the edit changes, with their new code. Raises `DoesNotApply`."""
    module = importlib.import_module(edit.module)
    path = str(module.__file__)
    source = Path(path).read_text()
    if source.count(edit.old) != 1:
        raise DoesNotApply(f"{edit.module} holds {source.count(edit.old)} times: {edit.old!r}")
    before = _functions_in(compile(source, path, "exec", dont_inherit=True))
    after = _functions_in(compile(source.replace(edit.old, edit.new), path, "exec", dont_inherit=True))
    live = _live(module)
    changed = [name for name in before if name in after and _meaning(before[name]) != _meaning(after[name])]
    if before.keys() != after.keys() or not changed or not all(name in live for name in changed):
        raise DoesNotApply(f"{edit.module}: the edit of {edit.old!r} changes no function that could be replaced: {changed}")
    return tuple((live[name], after[name]) for name in changed)


def _functions_in(code: CodeType) -> dict[str, CodeType]:
    """Functions and methods by qualified name; functions within functions belong to the outer one."""
    found: dict[str, CodeType] = {}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            is_class = not constant.co_flags & inspect.CO_OPTIMIZED
            found |= _functions_in(constant) if is_class else {constant.co_qualname: constant}
    return found


def _meaning(code: CodeType) -> tuple[object, ...]:
    """What a code object does, without its place in the file."""
    constants = tuple(_meaning(c) if isinstance(c, CodeType) else (type(c), c) for c in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars


def _live(module: ModuleType) -> dict[str, FunctionType]:
    found: dict[str, FunctionType] = {}
    for value in vars(module).values():
        if inspect.isclass(value) and value.__module__ == module.__name__:
            for member in vars(value).values():
                _note(found, module, member)
        else:
            _note(found, module, value)
    return found


def _note(found: dict[str, FunctionType], module: ModuleType, member: object) -> None:
    function = member.fget if isinstance(member, property) else inspect.unwrap(getattr(member, "__func__", member))  # type: ignore[arg-type]
    if isinstance(function, FunctionType) and function.__module__ == module.__name__:
        found[function.__code__.co_qualname] = function
