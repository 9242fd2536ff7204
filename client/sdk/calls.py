"""What a call of the SDK is: written once as a coroutine, it is awaited on a `Client` and blocks on a `SyncClient`.

    class ToyCalls(Calls):
        @call
        async def greet(self, name: str) -> dict[str, Any]:
            return await self.api.get(f"/v1/toy/{path_id(name)}")

A type checker sees both: `__get__` says which one an object has.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, NamedTuple, ParamSpec, TypeVar, overload

from learningchain.client.contracts import PartKind

if TYPE_CHECKING:
    import asyncio

    from learningchain.client.sdk.http import NodeApi

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


class Calls:
    """Calls on one node's API."""

    def __init__(self, api: NodeApi) -> None:
        self.api = api


class Blocking:
    """Mixed into `Calls`, it makes them block: each runs on `_awaited`, the same calls as coroutines, in another thread."""

    _awaited: Any
    _loop: asyncio.AbstractEventLoop

    def _wait(self, running: Coroutine[Any, Any, R]) -> R:
        import asyncio

        future = asyncio.run_coroutine_threadsafe(running, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _each(self, items: AsyncIterator[R]) -> Iterator[R]:
        try:
            while True:
                try:
                    yield self._wait(_next(items))
                except StopAsyncIteration:
                    return
        finally:
            if not self._loop.is_closed():
                self._wait(_close(items))


async def _next(items: AsyncIterator[R]) -> R:
    return await anext(items)


async def _close(items: Any) -> None:
    await items.aclose()


class call(Generic[S, P, R]):
    """Makes a coroutine function a call."""

    def __init__(self, run: Callable[Concatenate[S, P], Coroutine[Any, Any, R]]) -> None:
        self._run = run
        self.__doc__ = run.__doc__

        @functools.wraps(run)
        def blocking(node: Any, *args: Any, **named: Any) -> Any:
            return node._wait(run(node._awaited, *args, **named))

        self._blocking = blocking

    @overload
    def __get__(self, node: None, owner: Any) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]: ...
    @overload
    def __get__(self, node: Blocking, owner: Any) -> Callable[P, R]: ...
    @overload
    def __get__(self, node: Calls, owner: Any) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, node: Any, owner: Any) -> Any:
        if node is None:
            return self._run
        return MethodType(self._blocking if isinstance(node, Blocking) else self._run, node)


class stream(Generic[S, P, R]):
    """Makes an asynchronous generator a call: what it yields is iterated over."""

    def __init__(self, run: Callable[Concatenate[S, P], AsyncIterator[R]]) -> None:
        self._run = run
        self.__doc__ = run.__doc__

    @overload
    def __get__(self, node: None, owner: Any) -> Callable[Concatenate[S, P], AsyncIterator[R]]: ...
    @overload
    def __get__(self, node: Blocking, owner: Any) -> Callable[P, Iterator[R]]: ...
    @overload
    def __get__(self, node: Calls, owner: Any) -> Callable[P, AsyncIterator[R]]: ...
    def __get__(self, node: Any, owner: Any) -> Any:
        if node is None:
            return self._run
        if not isinstance(node, Blocking):
            return MethodType(self._run, node)

        @functools.wraps(self._run)
        def blocking(*args: P.args, **named: P.kwargs) -> Iterator[R]:
            return node._each(self._run(node._awaited, *args, **named))

        return blocking


class SdkPart(NamedTuple):
    """What the SDK can ask about one contract."""

    calls: type[Calls]


SDK: Final = PartKind("sdk", SdkPart)
