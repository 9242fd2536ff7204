"""What the words of a command are, described where its function is.

The parser takes longer to import than a question to the node takes to answer, and most questions are typed without any option
(`client.cli.asking`). So a description is kept as it was written, and becomes the parser's own when the parser reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts import Parameter as Parameter
else:

    class Parameter:
        """Stands for the parser's `Parameter` of the same words, of whose class it says it is."""

        def __init__(self, **words: Any) -> None:
            self._words, self._made = words, None

        @property
        def __class__(self) -> type:
            from cyclopts import Parameter as Own

            return Own

        def __getattr__(self, name: str) -> Any:
            if self._made is None:
                self._made = self.__class__(**self._words)
            return getattr(self._made, name)
