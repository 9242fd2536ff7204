"""Sentences as vectors by all-MiniLM-L6-v2 (a BERT of six layers), in numpy alone: weights and words come as files.

A sentence becomes pieces of words (WordPiece, uncased), each piece a vector, six layers mix them, and their mean, of length 1, is
the sentence's. Nothing is padded: a sentence has the same vector whatever stands beside it.
"""

from __future__ import annotations

import json
import math
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

WIDTH, LAYERS, HEADS = 384, 6, 12
MAX_PIECES = 256
MAX_WORD = 100
_EPSILON = np.float32(1e-12)


class Encoder:
    """`folder`: has `model.safetensors` and `vocab.txt`."""

    def __init__(self, folder: Path) -> None:
        self._weights = read_weights(folder / "model.safetensors")
        words = (folder / "vocab.txt").read_text("utf-8").split("\n")
        self._words = {word: number for number, word in enumerate(words) if word}

    def vector(self, sentence: str) -> Floats:
        pieces = [self._words["[CLS]"], *self.pieces(sentence)[: MAX_PIECES - 2], self._words["[SEP]"]]
        w = self._weights
        x = w["embeddings.word_embeddings.weight"][pieces]
        x = x + w["embeddings.position_embeddings.weight"][: len(pieces)] + w["embeddings.token_type_embeddings.weight"][0]
        x = self._normal(x, "embeddings.LayerNorm")
        for layer in range(LAYERS):
            x = self._layer(x, f"encoder.layer.{layer}")
        mean = x.mean(axis=0)
        result: Floats = mean / max(float(np.sqrt((mean * mean).sum())), 1e-12)
        return result

    def vectors(self, sentences: list[str]) -> Floats:
        return np.stack([self.vector(sentence) for sentence in sentences])

    def pieces(self, sentence: str) -> list[int]:
        found = list[int]()
        for word in split_words(sentence):
            found += self._pieces_of(word)
        return found

    def _pieces_of(self, word: str) -> list[int]:
        """The longest known beginning, then the longest known going on, to the end."""
        found, start = list[int](), 0
        while start < len(word):
            for end in range(len(word), start, -1):
                number = self._words.get(("##" if start else "") + word[start:end])
                if number is not None:
                    break
            else:
                return [self._words["[UNK]"]]
            found.append(number)
            start = end
        return found if len(word) <= MAX_WORD else [self._words["[UNK]"]]

    def _layer(self, x: Floats, name: str) -> Floats:
        attention = f"{name}.attention"
        split = (len(x), HEADS, WIDTH // HEADS)
        q, k, v = (self._dense(x, f"{attention}.self.{part}").reshape(split).swapaxes(0, 1) for part in ("query", "key", "value"))
        scores = q @ k.swapaxes(1, 2) / np.float32(math.sqrt(WIDTH // HEADS))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True) @ v).swapaxes(0, 1).reshape(len(x), WIDTH)
        x = self._normal(x + self._dense(mixed, f"{attention}.output.dense"), f"{attention}.output.LayerNorm")
        wide = gelu(self._dense(x, f"{name}.intermediate.dense"))
        return self._normal(x + self._dense(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _dense(self, x: Floats, name: str) -> Floats:
        result: Floats = x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return result

    def _normal(self, x: Floats, name: str) -> Floats:
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + _EPSILON)
        return x * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def gelu(x: Floats) -> Floats:
    """x·Φ(x), with the error function as Abramowitz and Stegun 7.1.26 has it, to 1.5e-7."""
    z = np.abs(x) / np.float32(math.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    return np.asarray(0.5 * x * (1 + erf), np.float32)


def split_words(sentence: str) -> list[str]:
    """Lower case without accents, at white space and at every punctuation mark, which is a word of its own."""
    text = unicodedata.normalize("NFD", sentence.lower())
    spaced = ""
    for char in text:
        kind = unicodedata.category(char)
        if kind == "Mn":
            continue
        alone = kind.startswith("P") or char in "$+<=>^`|~" or 0x4E00 <= ord(char) <= 0x9FFF
        spaced += f" {char} " if alone else " " if kind in ("Cc", "Cf", "Zs") else char
    return spaced.split()


def read_weights(path: Path) -> dict[str, Floats]:
    """The tensors of a file of the form safetensors, which are 32-bit floats, read as they are needed."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(size))
    raw = np.memmap(path, np.uint8, "r", 8 + size)
    return {
        name: raw[slice(*given["data_offsets"])].view(np.float32).reshape(given["shape"])
        for name, given in head.items()
        if given.get("dtype") == "F32"
    }
