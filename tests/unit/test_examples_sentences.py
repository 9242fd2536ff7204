"""The example about sentences without its language model: how text becomes pieces, and what its job does with models and rows that
are none. The model of the tests has the same shape and weights by chance."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from learningchain.examples.sentences import build, job
from learningchain.examples.sentences.data import CLASSES, split_sentences
from learningchain.examples.sentences.encoder import LAYERS, WIDTH, Encoder, gelu, split_words
from tests.unit.test_examples_build import imported

WORDS = ["[UNK]", "[CLS]", "[SEP]", "a", "un", "##related", "##rel", ".", "word", "cafe"]
DENSE = {"attention.self.query": 1, "attention.self.key": 1, "attention.self.value": 1, "attention.output.dense": 1}


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of the right shape."""
    folder, rng = tmp_path_factory.mktemp("minilm"), np.random.default_rng(1)
    letters = [f"{prefix}{chr(97 + n)}" for n in range(26) for prefix in ("", "##")]
    words = WORDS + [word for word in letters if word not in WORDS]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(words), WIDTH),
        "embeddings.position_embeddings.weight": (512, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
    }
    for layer in (f"encoder.layer.{number}" for number in range(LAYERS)):
        for name, out, into in (*((name, WIDTH, WIDTH) for name in DENSE), ("intermediate.dense", 4 * WIDTH, WIDTH)):
            shapes |= {f"{layer}.{name}.weight": (out, into), f"{layer}.{name}.bias": (out,)}
        shapes |= {f"{layer}.output.dense.weight": (WIDTH, 4 * WIDTH), f"{layer}.output.dense.bias": (WIDTH,)}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{layer}.{name}.weight": (WIDTH,), f"{layer}.{name}.bias": (WIDTH,)}
    head, at = dict[str, object](), 0
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        head[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            drawn = rng.standard_normal(shape, np.float32) * np.float32(0.05)
            file.write((np.ones(shape, np.float32) if name.endswith("LayerNorm.weight") else drawn).tobytes())
    return folder


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Thank you, that was FAST!", ["thank", "you", ",", "that", "was", "fast", "!"]),
        ("d\N{LATIN SMALL LETTER E WITH ACUTE}j\N{LATIN SMALL LETTER A WITH GRAVE} vu", ["deja", "vu"]),
        ("3.5%\tof $20\n", ["3", ".", "5", "%", "of", "$", "20"]),
        ("\u6771\u4eac tower", ["\u6771", "\u4eac", "tower"]),
        ("  ", []),
    ],
)
def test_sentences_are_split_as_the_language_model_was_taught(sentence: str, words: list[str]) -> None:
    assert split_words(sentence) == words


def test_words_become_the_longest_pieces_that_are_known(minilm: Path) -> None:
    encoder, of = Encoder(minilm), {word: number for number, word in enumerate(WORDS)}
    assert encoder.pieces("A caf\N{LATIN SMALL LETTER E WITH ACUTE}.") == [of["a"], of["cafe"], of["."]]
    assert encoder.pieces("unrelated \N{GREEK SMALL LETTER OMEGA} " + "a" * 101) == [
        of["un"],
        of["##related"],
        of["[UNK]"],
        of["[UNK]"],
    ]
    one = encoder.vector("a word.")
    assert (one.shape, str(one.dtype), round(float(np.linalg.norm(one)), 5)) == ((WIDTH,), "float32", 1.0)
    assert (encoder.vectors(["unrelated", "a word."])[1] == one).all(), "whatever stands beside it"
    assert encoder.vector("a " * 400).shape == (WIDTH,), "the rest of a long text is left"
    assert np.allclose(gelu(np.array([-1.0, 0.0, 2.0], np.float32)), [-0.15865525, 0.0, 1.95449974], atol=1e-6)


def test_the_sentences_are_parted_evenly() -> None:
    training, evaluation = (list(csv.reader(io.StringIO(table.decode()))) for table in split_sentences())
    assert [len(training), len(evaluation)] == [48, 16]
    assert not {row[0] for row in training} & {row[0] for row in evaluation}
    for rows in (training, evaluation):
        assert {row[1] for row in rows} == {str(number) for number in range(len(CLASSES))}


class Root:
    """The inside of a container."""

    def __init__(self, path: Path, minilm: Path) -> None:
        self.path, self.lc = path, path / "lc"
        for name in ("in/sets/sentences", "out"):
            (self.lc / name).mkdir(parents=True)
        (self.lc / "minilm").symlink_to(minilm)
        rows = "".join(f"{'word ' * (number % 5 + 1)}{'ab'[number % 2] * 4},{number % 2}\n" for number in range(20))
        for name in ("train.csv", "eval.csv"):
            (self.lc / "in/sets/sentences" / name).write_text(rows)

    def run(self, phase: str) -> int:
        (self.lc / "in/job.json").write_text(json.dumps({"v": 2, "phase": phase, "seed": 7, "budget_s": 60, "threads": 1}))
        return job.main([phase], self.path)


@pytest.fixture
def root(tmp_path: Path, minilm: Path) -> Root:
    return Root(tmp_path, minilm)


def test_what_was_learned_is_measured_and_answers(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    assert root.run("train") == 0
    model = (root.lc / "out/model").read_bytes()
    assert len(model) == 2 * 8 * (WIDTH + 1)
    (root.lc / "in/model").write_bytes(model)
    assert root.run("evaluate") == 0
    losses = [float(line) for line in (root.lc / "out/losses").read_text().split()]
    assert len(losses) == 20 and sum(losses) / 20 < 0.5
    for rows, answer in (
        (["word aaaa"], None),
        (["word aaaa", ""], "unfit 1\n"),
        (["word aaaa", 7, "b"], "unfit 1\n"),
    ):
        (root.lc / "in/request.json").write_text(json.dumps({"v": 1, "rows": len(rows), "seed": 1, "challenge": 5}))
        (root.lc / "in/input").write_text("".join(json.dumps([row]) + "\n" for row in rows))
        monkeypatch.setattr(sys, "stdin", io.StringIO("go\n"))
        assert root.run("predict") == 0
        told = (root.lc / "out/answer").read_text()
        assert told.startswith("0 ") and "\ncheck " in told if answer is None else told == answer


@pytest.mark.parametrize(
    "model",
    [
        b"",
        b"x" * 100,
        bytes(8 * (WIDTH + 1) * 101),
        np.full((2, WIDTH + 1), np.nan).tobytes(),
        np.outer([1e308, -1e308], np.ones(WIDTH + 1)).tobytes(),
        bytes(8 * (WIDTH + 1)),
    ],
    ids=["empty", "no whole class", "too many classes", "no numbers", "numbers without end", "too few classes"],
)
def test_a_strangers_model_that_is_none_is_called_invalid(root: Root, model: bytes) -> None:
    (root.lc / "in/model").write_bytes(model)
    assert root.run("evaluate") == 65


def test_the_image_holds_all_that_its_job_imports(monkeypatch: pytest.MonkeyPatch, minilm: Path) -> None:
    monkeypatch.setattr(build, "model_folder", lambda: minilm)
    files = build.image_files()
    program = files["/lc/job"]
    assert isinstance(program, bytes)
    wanted = {f"/lc/{module.replace('.', '/')}.py" for module in imported(program)}
    assert wanted == {name for name in files if name.endswith(".py")}
