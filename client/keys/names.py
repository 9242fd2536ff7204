"""Own names for people: what the owner of a data folder calls accounts. They stay there: nobody else sees or sets them.

A name stands beside an address, never in its place where both have room, and may be typed wherever an address is asked for. Names
that somebody chose for himself could be chosen to look like another's; these cannot (docs/adr/0010-petnames.md). What is left to
get wrong is one's own list: a name is printable and in one form (NFC), two names that look alike are told, and so is an address
that begins and ends like a known one, as whoever hopes for a careless copy would make it.

Jobs and federations that are posted with a name have it beside their ids, here alone, too. Several may have the same one, as the
same job is posted again; the oldest make room for new ones.

`names.json` in the data folder, mode 0600: {"version": 1, "names": {"lc1…": "alice"}, "ids": {"3fa9…": "digits"}}. Bounded by
MAX_NAMES, of each kind, and MAX_CHARACTERS.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from learningchain.client import reading

FILE = "names.json"
KEYSTORE = "keystore.json"
VERSION = 1
MAX_NAMES = 1_000
MAX_CHARACTERS = 32
MAX_FILE = 512 * 1024
"""More than twice MAX_NAMES names of MAX_CHARACTERS take with what they are of, in any script."""
HEAD, TAIL = 3, 3
"""Characters of an address, behind `lc1` and at its end, by which people tell addresses apart."""
ADDRESS = re.compile(r"\blc1[02-9ac-hj-np-z]{38}\b")
IDENTIFIER = re.compile(r"\b[0-9a-f]{64}\b")
_COMMAND = re.compile(r"\blearningchain [^.,;:()\n]*\Z")
SHORT = 9
"""First characters of an address that a table shows; the last four follow."""


class NamesError(Exception):
    """A name that cannot be used, or a file that holds none. The text says what, why and what to do."""


# --- a name --------------------------------------------------------------------------------------------------------------------

_INVISIBLE = frozenset(
    (
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        *(n for first, end in ((0x180B, 0x1810), (0xFE00, 0xFE10), (0xE0100, 0xE01F0)) for n in range(first, end)),
    )
)
"""Letters and marks that count as printable and show nothing: of Default_Ignorable_Code_Point, and the empty Braille cell."""


def checked(text: str) -> str:
    """A name in its one form (NFC). Raises `NamesError` where it cannot be one."""
    name = unicodedata.normalize("NFC", text)
    why = _fault(name)
    if why:
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[:MAX_CHARACTERS])
        raise NamesError(f'"{shown}" cannot be a name: {why}. Choose another, such as alice or "lab 2"')
    return name


def _fault(name: str) -> str:
    """Why this is no name; empty where it is one."""
    if not 1 <= len(name) <= MAX_CHARACTERS:
        return f"a name has 1 to {MAX_CHARACTERS} characters"
    if not name.isprintable() or any(ord(c) in _INVISIBLE for c in name):
        return "it holds a control character, a mark of direction or something else that does not show"
    if name != " ".join(name.split(" ")).strip() or "  " in name:
        return "spaces stand one by one between words"
    if not any(c.isalpha() for c in name):
        return "it has no letter, so it could be taken for an amount or a height"
    if name[0] in "-@" or unicodedata.combining(name[0]):
        return "it begins like an option, a file or an accent"
    if any(look.startswith(_ADDRESS_LOOK) for look in looks(name)):
        return "it begins like an address (lc1)"
    return ""


# --- what looks alike ----------------------------------------------------------------------------------------------------------
# By the table of Unicode Technical Standard 39 (confusables.txt, from a package), and by what it lacks: small forms whose capitals
# alone stand there, letters with strokes, Coptic, what people write for a letter (4lice), and what stands between words.
# Compatibility forms (full width, bold, circled…) and accents go by NFKD. What all that misses is a warning that does not come:
# who is paid is decided by the address.

_PAIRS = (
    ("0OоοՕօσᴏ", "o"),
    ("1Il|!ӏӀІΙɩƖ∣", "l"),
    ("4@аАαΑɑⲁꬰᗩ∀Δ", "a"),
    ("ВΒвьЬ", "b"),
    ("сСϲᴄⲥ", "c"),
    ("ԁԀđ", "d"),
    ("3еЕΕεҽⲉ", "e"),
    ("ƒſ", "f"),
    ("ɡԌց", "g"),
    ("һНΗհнħ", "h"),
    ("іιıⲓ", "i"),
    ("јЈϳȷ", "j"),
    ("кКκΚⲕ", "k"),
    ("ł", "l"),
    ("мМΜⲙ", "m"),
    ("пՈոηΝⲛ", "n"),
    ("øⲟ", "o"),
    ("рРρΡⲣ", "p"),
    ("ԛԚզ", "q"),
    ("гᴦ", "r"),
    ("5$ѕЅꜱƽ", "s"),
    ("тТτΤŧⲧ", "t"),
    ("υսՍʋᴜ", "u"),
    ("νѵᴠⲩ", "v"),
    ("ԝԜωᴡѡⲱ", "w"),
    ("хХχΧⲭ", "x"),
    ("уУγΥүҮ", "y"),
    ("Ζᴢⲍ", "z"),
    ("ᘔ", "2"),
    ("‐‑‒–—−_-·•。.", " "),
    ("’‘ʼ`´", "'"),
)
_LOOKS = {ord(c): plain for many, plain in _PAIRS for c in many}
_SEQUENCES = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_ADDRESS_LOOK = "lcl"


def looks(name: str) -> frozenset[str]:
    """The skeletons of a name, as it is written and in small letters: names that share one look alike."""
    return frozenset((_skeleton(name), _skeleton(name.casefold())))


def _skeleton(text: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).translate(_LOOKS)
    like = "".join(c if c.isascii() else _prototype(c) for c in plain)
    shown = unicodedata.normalize("NFKD", like.translate(_LOOKS)).casefold().translate(_LOOKS)
    if shown.startswith(_ADDRESS_LOOK):
        return shown
    for many, one in _SEQUENCES:
        shown = shown.replace(many, one)
    return shown


@lru_cache(4_096)
def _prototype(character: str) -> str:
    """What stands for all characters that look like this one: of ASCII where one of them is."""
    small = _SMALL_CAPITAL.fullmatch(unicodedata.name(character, ""))
    if small:
        return small[1] or small[2]
    if unicodedata.east_asian_width(character) == "W":
        return character
    # The table says of the one that stands for many which they are, and of each of these that one alone.
    others = _alike(character)
    first = others[0] if len(others) == 1 else character
    return min({character, first, *_alike(first)}, key=lambda one: (not one.isascii(), len(one), one))


def _alike(character: str) -> list[str]:
    """By Unicode's table. It has 900 kB, so it is read where a name needs it."""
    from confusable_homoglyphs.confusables import confusables_data

    return [other["c"].strip(_MARKS) for other in confusables_data.get(character, [])]


_SMALL_CAPITAL = re.compile(r"LATIN LETTER SMALL CAPITAL ([A-Z])|LATIN (?:SMALL|CAPITAL) LETTER ([A-Z]) WITH .*")
_MARKS = "\N{LEFT-TO-RIGHT MARK}"
"""Around letters that are written from the right, in the table alone."""


def near(address: str, known: Iterable[str]) -> str | None:
    """A known address that begins and ends like this one and is another. Two that are not made for it hardly ever do so."""
    ends = (address[3 : 3 + HEAD], address[-TAIL:])
    return next((other for other in known if other != address and (other[3 : 3 + HEAD], other[-TAIL:]) == ends), None)


# --- the names of a folder -----------------------------------------------------------------------------------------------------


class Names:
    """Names by address, and by id. Made once; what is shown beside them comes from here."""

    def __init__(self, by_address: Mapping[str, str] | None = None, by_id: Mapping[str, str] | None = None) -> None:
        self.by_address, self.by_id = dict(by_address or {}), dict(by_id or {})
        self.own = ""
        """The address of the folder's own identity, where it is known."""
        self._addresses = {name: address for address, name in self.by_address.items()}

    def __bool__(self) -> bool:
        return bool(self.by_address or self.by_id)

    def of(self, address: Any) -> str | None:
        """The name of an address, or of an id."""
        return (self.by_address.get(address) or self.by_id.get(address)) if isinstance(address, str) else None

    def address(self, name: str) -> str | None:
        return self._addresses.get(unicodedata.normalize("NFC", name))

    def like(self, name: str) -> list[str]:
        """Other names that look like this one."""
        own = looks(name)
        return sorted(other for other in self._addresses if other != name and looks(other) & own) if name else []

    def beside(self, text: str) -> str:
        """A text with names behind the addresses in it, once each, and who is this node. A command to be copied stays as it is
        typed."""
        text = ADDRESS.sub(self._with_name, text) if (self.by_address or self.own) and "lc1" in text else text
        return IDENTIFIER.sub(self._with_name, text) if self.by_id else text

    def _with_name(self, found: re.Match[str]) -> str:
        called = [name for name in (self.of(found[0]), "you" if found[0] == self.own else None) if name]
        said = f" ({', '.join(called)})"
        named = not called or found.string.startswith(said, found.end())
        return found[0] if named or _COMMAND.search(found.string[: found.start()]) else f"{found[0]}{said}"

    def short(self, address: str) -> str:
        """An address cut for a table; its name before it, where it has one."""
        cut = f"{address[:SHORT]}…{address[-4:]}" if len(address) > 16 else address
        return f"{name} ({cut})" if (name := self.of(address)) else cut

    def into(self, document: Any) -> Any:
        """A document of JSON with names beside its addresses: `name` beside `id`, else `KEY_name`, or `KEY_names` for a list."""
        if not self:
            return document
        if isinstance(document, list):
            return [self.into(item) for item in document]
        if not isinstance(document, dict):
            return document
        return {key: self.into(value) for key, value in document.items()} | dict(self._added(document))

    def _added(self, document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for key, value in document.items():
            if isinstance(value, str) and (name := self.of(value)):
                added = "name" if key in ("id", "account") else f"{key}_name"
                if added not in document:
                    yield added, name
            elif isinstance(value, list) and f"{key}_names" not in document and any(self.of(item) for item in value):
                yield f"{key}_names", [self.of(item) for item in value]


def own_address(data: Path) -> str:
    """The address in a data folder's keystore, which says it in clear; empty where none can be read. For what is shown alone."""
    from learningchain.chain.storage import private

    try:
        with private.reading(data / KEYSTORE) as file:
            address = json.loads(file.read(MAX_FILE))["address"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return address if isinstance(address, str) and ADDRESS.fullmatch(address) else ""


def load(data: Path) -> Names:
    """The names in a data folder; none where there is no file. Raises `NamesError`."""
    path = data / FILE
    try:
        raw = reading.file(path, MAX_FILE, own=True)
    except (FileNotFoundError, NotADirectoryError):
        return Names()
    except OSError as e:
        raise NamesError(f"The names in {path} cannot be read: {e.strerror}. Check the file's owner and mode") from None
    try:
        return Names(*_parsed(raw))
    except (ValueError, RecursionError) as e:
        raise NamesError(f"{path} holds no names: {e}. Repair it, or remove it and give the names again") from None


def _parsed(raw: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """Raises ValueError."""
    if len(raw) > MAX_FILE:
        raise ValueError(f"it is larger than {MAX_FILE} bytes")
    document = json.loads(raw)
    names = document.get("names") if isinstance(document, dict) and document.get("version") == VERSION else None
    if not isinstance(names, dict) or len(names) > MAX_NAMES:
        raise ValueError(f"it is no object of version {VERSION} with at most {MAX_NAMES} names")
    ids = document.get("ids", {})
    if not isinstance(ids, dict) or len(ids) > MAX_NAMES:
        raise ValueError(f"its ids are no object with at most {MAX_NAMES} names")
    for form, entries, kind in ((ADDRESS, names, "address"), (IDENTIFIER, ids, "id")):
        for key, name in entries.items():
            if not form.fullmatch(key) or not isinstance(name, str) or unicodedata.normalize("NFC", name) != name or _fault(name):
                raise ValueError(f"the entry {key[:70]!r} is no {kind} with a name")
    if len(set(names.values())) != len(names):
        raise ValueError("a name stands there twice")
    return names, ids


@contextmanager
def changing(data: Path) -> Iterator[dict[str, str]]:
    """The names by address, to be changed, by one command at a time: written as a whole when the block ends well.

    Raises `NamesError`.
    """
    with _changed(data) as found:
        yield found.by_address


def label(data: Path, ref: str, name: str) -> None:
    """Call a job or a federation by a name of one's own. Raises `NamesError`."""
    wanted = checked(name)
    with _changed(data) as found:
        found.by_id.pop(ref, None)
        while len(found.by_id) >= MAX_NAMES:
            del found.by_id[next(iter(found.by_id))]
        found.by_id[ref] = wanted


@contextmanager
def _changed(data: Path) -> Iterator[Names]:
    from learningchain.chain.storage import private

    path = data / FILE
    try:
        lock = private.open_or_create(data / f"{FILE}.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            names = load(data)
            yield names
            document = {"version": VERSION, "names": names.by_address, "ids": names.by_id}
            text = json.dumps(document, ensure_ascii=False, indent=1)
            private.replace(path, text.encode() + b"\n")
        finally:
            os.close(lock)
    except OSError as e:
        raise NamesError(f"{path} cannot be written: {e.strerror}. Check the folder, its owner and the free space") from None
