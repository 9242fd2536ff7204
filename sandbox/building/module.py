"""A Python file with one `@learningchain.job` as a job's folder: its text is read, and nothing of it is executed."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Final

from learningchain.sandbox.building import function
from learningchain.sandbox.building.folder import JobFolder, Settings, read_list
from learningchain.sandbox.image_writer import PYTHON_IN_IMAGE, ImageBuildError, own_text

MAX_BYTES: Final = 4 << 20
_PROGRAM = "#!{python}\nimport learningchain\n\nlearningchain.run({module!r}, {name!r})\n"
_OWN: Final = "learningchain"


def open_module(path: Path) -> JobFolder:
    """What the file says of its job. Raises ImageBuildError, OSError."""
    if path.stat().st_size > MAX_BYTES:
        raise ImageBuildError(f"{path} has more than {MAX_BYTES} bytes; put data into files of their own")
    if not path.stem.isidentifier() or path.stem == _OWN:
        raise ImageBuildError(f"{path.name} cannot be imported in the image under that name; rename the file")
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError) as problem:
        raise ImageBuildError(f"{path} is no Python: {problem}") from None
    found = [(node, call) for node in tree.body if isinstance(node, ast.FunctionDef) for call in _marks(node)]
    if len(found) != 1:
        raise ImageBuildError(f"{path} has {len(found)} functions with @learningchain.job(...) at its top; a job is one of them")
    ((node, call),) = found
    if not any(_evaluates(other, node.name) for other in tree.body):
        raise ImageBuildError(f"{path} says nowhere how wrong a model is: write a function with @{node.name}.evaluate")
    given = _arguments(path, call)
    program = _PROGRAM.format(python=PYTHON_IN_IMAGE, module=path.stem, name=node.name)
    extra = {"/lc/job": program.encode(), f"/lc/{_OWN}.py": own_text(function.__name__)}
    lock = read_list(path.parent / given["lock"]) if given.get("lock") else ""
    return JobFolder(path.parent, Settings(files=(path.name, *given.get("files", ()))), lock, extra)


def _marks(node: ast.FunctionDef) -> list[ast.Call]:
    return [mark for mark in node.decorator_list if isinstance(mark, ast.Call) and ast.unparse(mark.func) == f"{_OWN}.job"]


def _evaluates(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.FunctionDef) and any(ast.unparse(mark) == f"{name}.evaluate" for mark in node.decorator_list)


def _arguments(path: Path, call: ast.Call) -> dict[str, Any]:
    try:
        given = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        files = given.get("files", ())
        right = not call.args and set(given) <= {"lock", "files"} and isinstance(given.get("lock", ""), str)
        if not right or not isinstance(files, list | tuple) or not all(isinstance(file, str) for file in files):
            raise ValueError
    except ValueError:
        example = "@learningchain.job(lock='requirements.lock', files=['data'])"
        raise ImageBuildError(f"{path}, line {call.lineno}: write lock and files out, as in {example}") from None
    return given
