"""Who is at the dashboard, and what a browser must say: pure."""

from __future__ import annotations

from itertools import count

import pytest

from learningchain.client.api import browsers as security
from learningchain.client.api.errors import RequestError
from learningchain.client.api.sessions import IDLE_S, LIFE_S, LINK_S, MAX_MARKS, MAX_SESSIONS, MAX_TEXT, Sessions
from learningchain.client.dashboard.forms import MAX_FIELDS, parse_form
from learningchain.client.dashboard.text import clean, flat, short


def sessions() -> Sessions:
    numbers = count()
    return Sessions(lambda: f"secret-{next(numbers)}")


def opened(kept: Sessions, now: float = 0.0) -> str:
    cookie = kept.open(kept.new_link(now), now)
    assert cookie is not None
    return cookie


def test_a_link_opens_one_session_and_no_second() -> None:
    kept = sessions()
    code = kept.new_link(0.0)
    assert kept.is_link(code, LINK_S - 1) and kept.is_link(code, LINK_S - 1), "looking at it does not use it up"
    cookie = kept.open(code, LINK_S - 1)
    assert cookie is not None and kept.find(cookie, LINK_S) is not None
    assert kept.open(code, LINK_S - 1) is None
    assert kept.find(code, LINK_S) is None, "the link is no cookie"


def test_a_session_ends_when_it_rests_when_it_is_old_and_when_it_is_closed() -> None:
    kept = sessions()
    resting = opened(kept)
    found = kept.find(resting, 1.0)
    assert found is not None and kept.find(resting, 1.0 + IDLE_S) is None and found.ended
    used, now = opened(kept), 0.0
    while now + IDLE_S / 2 < LIFE_S:
        now += IDLE_S / 2
        assert kept.find(used, now) is not None
    assert kept.find(used, LIFE_S) is None
    closed = opened(kept)
    session = kept.find(closed, 1.0)
    kept.close(closed)
    assert kept.find(closed, 1.0) is None and session is not None and session.ended
    kept.close("never was")


def test_sessions_are_bounded_and_the_one_that_rested_longest_goes() -> None:
    kept = sessions()
    cookies = [opened(kept, float(at)) for at in range(MAX_SESSIONS)]
    kept.find(cookies[0], 100.0)
    opened(kept, 101.0)
    assert len(kept) == MAX_SESSIONS
    assert kept.find(cookies[0], 102.0) is not None and kept.find(cookies[1], 102.0) is None


def test_a_form_is_of_its_session_and_counts_once() -> None:
    kept = sessions()
    mine, other = kept.find(opened(kept), 0.0), kept.find(opened(kept), 0.0)
    assert mine is not None and other is not None
    assert mine.accepts(mine.form_token)
    assert not mine.accepts(other.form_token) and not mine.accepts("") and not mine.accepts("ü" * 9)
    assert mine.spend("a") and not mine.spend("a") and other.spend("a")
    assert not mine.spend("") and not mine.spend("x" * (MAX_TEXT + 1))
    for at in range(10 * MAX_MARKS):
        assert mine.spend(str(at))
    assert len(mine._marks) == MAX_MARKS


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Origin": "http://127.0.0.1:7401", "Host": "127.0.0.1:7401", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://127.0.0.1:7401", "Host": "127.0.0.1:7401"}, True),
        ({"Host": "127.0.0.1:7401", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Host": "127.0.0.1:7401"}, False),
        ({"Origin": "null", "Host": "127.0.0.1:7401"}, False),
        ({"Origin": "http://127.0.0.1:8888", "Host": "127.0.0.1:7401", "Sec-Fetch-Site": "same-site"}, False),
        ({"Origin": "http://127.0.0.1:8888", "Host": "127.0.0.1:7401"}, False),
        ({"Origin": "https://127.0.0.1:7401", "Host": "127.0.0.1:7401"}, False),
        ({"Origin": "http://localhost:7401", "Host": "127.0.0.1:7401"}, False),
        ({"Origin": "http://127.0.0.1:7401", "Host": "127.0.0.1:7401", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://127.0.0.1:7401.evil.example", "Host": "127.0.0.1:7401"}, False),
    ],
)
def test_a_change_comes_from_a_page_of_this_address(headers: dict[str, str], allowed: bool) -> None:
    assert security.may_change(headers) is allowed


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, True),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}, True),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, False),
    ],
)
def test_pages_of_other_ports_fetch_nothing(headers: dict[str, str], allowed: bool) -> None:
    assert security.may_read(headers) is allowed


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    rules = dict(rule.split(" ", 1) for rule in security.POLICY.split("; "))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert set(rules.values()) == {"'none'", "'self'"}
    assert rules["script-src"] == rules["form-action"] == "'self'"


def test_a_form_is_read_strictly() -> None:
    assert parse_form(b"a=1&b=%C3%BC+x&c=") == {"a": "1", "b": "ü x", "c": ""}
    assert parse_form(b"") == {}
    for raw in (b"a=1&a=2", b"a", b"a=%ff", "a=ü".encode(), b"&".join(b"a%d=1" % at for at in range(MAX_FIELDS + 1))):
        with pytest.raises(RequestError):
            parse_form(raw)


def test_text_of_strangers_shows_what_it_hides_and_has_an_end() -> None:
    assert clean("a\x1b[31m\u202eb\x00") == "a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"
    assert clean("one\ntwo") == "one\ntwo"
    assert len(clean("x" * 10**6)) < 3_000
    assert short("lc1" + "q" * 38) == "lc1qqqqqq…qqqq"
    assert flat({"a": {"b": 1, "c": [True, None]}, "d": [{"e": "x"}], "f": []}) == [
        ("a.b", "1"),
        ("a.c", "yes, –"),
        ("d.0.e", "x"),
        ("f", "–"),
    ]
