"""Settings: every one has a default and a bound, a mistake is named with what would do, the file survives being changed."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from learningchain.client import config
from learningchain.client.config import SETTINGS, Config, ConfigError, change, load, parse, render

ME = "lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq"


def test_the_written_file_explains_every_setting_and_changes_nothing(tmp_path: Path) -> None:
    text = render({})
    assert parse(text, "") == {}
    for setting in SETTINGS.values():
        assert setting.description and f"# {setting.description}" in text
        assert f"# {setting.name.rpartition('.')[2]} = " in text


def test_every_default_is_within_its_own_bounds() -> None:
    values = {name: setting.default for name, setting in SETTINGS.items()}
    assert parse(render(values), "") == values


def test_environment_over_file_over_default(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('name = "alice"\n[work]\nattempts = 5\nenabled = true\n')
    loaded = load(tmp_path, {"LEARNINGCHAIN_WORK_ATTEMPTS": "7", "LEARNINGCHAIN_NETWORK_PEERS": "a:1, [::1]:2", "HOME": "/"})
    assert (loaded.config.name, loaded.config.work.attempts, loaded.config.work.enabled) == ("alice", 7, True)
    assert loaded.config.network.peers == ["a:1", "[::1]:2"]
    assert loaded.sources["work.attempts"] == loaded.sources["network.peers"] == "environment"
    assert loaded.sources["name"] == loaded.sources["work.enabled"] == "file"
    assert loaded.sources["work.verify"] == "default"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[work]\natempts = 3", 'no setting "work.atempts"; did you mean "work.attempts"?'),
        ('nme = "x"', 'did you mean "name"?'),
        ("[wrk]\nattempts = 3", 'no setting "wrk"'),
        ("work = 3", "work is a section"),
        ("[work]\nattempts = 0", "work.attempts = 0"),
        ("[work]\nattempts = 1001", "work.attempts = 1001"),
        ('[work]\nattempts = "3"', "work.attempts"),
        ("[work]\nenabled = 1", "work.enabled"),
        ('[work]\nmin_bounty = "-1"', "work.min_bounty"),
        ('[work]\nmin_bounty = "0.0000001"', "six digits"),
        ('[work]\njudge = "always"', "work.judge"),
        ('[work]\nreveal = "never"', "work.reveal"),
        ("[work]\nconcurrent = 65", "work.concurrent"),
        ("[work]\nmax_mem_mb = 0", "work.max_mem_mb"),
        (f'[work]\nallowed_contractors = ["{ME[:-1]}x"]', "typing mistake"),
        ('[network]\npeers = ["nowhere"]', "host:port"),
        ('[network]\nlisten = "example.org:7400"', "no IP address"),
        ('[network]\nlisten = ["a:1"]', "a text of at most 1,024 characters"),
        ('[api]\nlisten = "127.0.0.1:0"', "port from 1"),
        ("[api]\nlisten = 7401", "a text of at most 1,024 characters"),
        ('[log]\nlevel = "loud"', "log.level"),
        ("name = ", "not TOML"),
        ('name = "a"\nname = "b"', "not TOML"),
        ("name = “a”", 'an editor made “ ” of them: write "'),
        ("a = " + "[" * 100_000, "not TOML"),
    ],
)
def test_mistakes_are_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as e:
        parse(text, "config.toml")
    assert said in str(e.value) and "config.toml" in str(e.value)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("LEARNINGCHAIN_WORK_ATEMPTS", "3", "LEARNINGCHAIN_WORK_ATTEMPTS"),
        ("LEARNINGCHAIN_WORK_ATTEMPTS", "many", "work.attempts"),
        ("LEARNINGCHAIN_WORK_ENABLED", "perhaps", "work.enabled"),
        ("LEARNINGCHAIN_WORK_MIN_BOUNTY", "a lot", "work.min_bounty"),
        ("LEARNINGCHAIN_WORK_DENIED_CONTRACTORS", "lc1nobody", "work.denied_contractors"),
        ("LEARNINGCHAIN_NETWORK_PEERS", "no port", "network.peers"),
        ("LEARNINGCHAIN_API_LISTEN", "somewhere.example:7401", "api.listen"),
    ],
)
def test_mistakes_in_the_environment_are_named(tmp_path: Path, variable: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as e:
        load(tmp_path, {variable: value})
    assert variable in str(e.value) and said in str(e.value)


@pytest.mark.parametrize(
    "name", ["name", "network.listen", "work.attempts", "work.gpus", "notify.url", "notify.command", "storage.url"]
)
def test_a_number_of_thousands_of_digits_is_refused_for_each_kind_of_setting(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        parse(f"{name} = 0x{'f' * 5000}\n", "config.toml")


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"#" * (config.MAX_FILE + 1)])
def test_a_file_that_is_no_text_or_too_large(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "config.toml").write_bytes(raw)
    with pytest.raises(ConfigError):
        load(tmp_path, {})


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_on_any_system_and_tabs_are_spaces(tmp_path: Path, end: str) -> None:
    (tmp_path / config.FILE).write_bytes(end.join(["# mine", "[work]\t", '\tmin_bounty\t=\t"5"\t# at least', ""]).encode())
    assert config.load(tmp_path, {}).config.work.min_bounty == "5"


def test_a_change_keeps_own_comments_and_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('# mine\nname = "alice"  # me\n\n[work] # earn\n# attempts = 3\nconcurrent = 2\n')
    change(tmp_path, {"work.attempts": 9})
    text = path.read_text()
    assert "# mine" in text and "# me" in text and "# earn" in text
    assert parse(text, "") == {"name": "alice", "work.attempts": 9, "work.concurrent": 2}
    change(tmp_path, {"work.attempts": 10, "work.verify": False, "name": "bob"})
    assert parse(path.read_text(), "") == {"name": "bob", "work.attempts": 10, "work.concurrent": 2, "work.verify": False}
    assert "# mine" in path.read_text()


@pytest.mark.parametrize(
    "before",
    [
        "",
        "[work]\n",
        'network.peers = [\n  "a:1", # first\n]\n',
        '[network]\npeers = [\n  "a:1",\n  "b:2",\n]\n',
        'network = {peers = ["a:1"]}\n',
    ],
)
def test_a_change_is_right_in_every_form_of_toml(tmp_path: Path, before: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(before)
    wanted = parse(before, "") | {"network.peers": ["c:3"], "name": 'quo"te\\ \x1b'}
    change(tmp_path, {"network.peers": ["c:3"], "name": 'quo"te\\ \x1b'})
    assert parse(path.read_text(), "") == wanted
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_refused_change_leaves_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[work]\nattempts = 4\n")
    with pytest.raises(ConfigError):
        change(tmp_path, {"work.attempts": 0})
    assert path.read_text() == "[work]\nattempts = 4\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql://u:secret@h/db", "postgresql://u:***@h/db"),
        ("postgresql://:secret@h/db", "postgresql://:***@h/db"),
        ("postgresql://u@server:secret@h/db", "postgresql://u@server:***@h/db"),
        ("postgresql://u:sec/ret:secret@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql://h/db?password=secret&sslmode=require", "postgresql://h/db?password=***&sslmode=require"),
        ("postgresql://h/db?user=u&sslpassword=secret", "postgresql://h/db?user=u&sslpassword=***"),
        ("postgresql://u@h:5432/db", "postgresql://u@h:5432/db"),
        ("sqlite:////var/lib/node.db", "sqlite:////var/lib/node.db"),
    ],
)
def test_a_password_in_the_database_url_is_not_shown(tmp_path: Path, url: str, masked: str) -> None:
    change(tmp_path, {"storage.url": url})
    shown = config.shown(load(tmp_path, {}).config)
    assert "secret" not in str(shown) and shown["storage.url"] == masked


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:pass@secret@h/db",
        "postgresql://u:a@secret/b@h/db",
        "postgresql://u:a@secret?b@h/db",
        "postgresql://u:a@secret?b=c@h/db",
        "postgresql://h?password=secret@x",
        "postgresql://h/db?password=a&secret",
        "postgresql://u:secret",
        "postgresql://u:pass@h:secret/db",
    ],
)
def test_a_database_url_that_can_be_read_in_two_ways_is_refused_and_nothing_of_it_shown(tmp_path: Path, url: str) -> None:
    for read in (lambda: load(tmp_path, {"LEARNINGCHAIN_STORAGE_URL": url}), lambda: change(tmp_path, {"storage.url": url})):
        with pytest.raises(ConfigError, match=r"'postgresql://\*\*\*' cannot be used.*@ as %40") as told:
            read()
        assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    "value",
    ["https://u:secret@h/x", "https://u:a/secret@h", "https://h/secret", "https://h?secret", "secret", ["https://h/secret"]],
)
def test_a_webhook_s_secret_is_not_shown(value: Any) -> None:
    assert "secret" not in str(config.display("notify.url", value))


# --- what a fault in a setting would cost ----------------------------------------------------------------------------------------


def test_a_node_that_nobody_set_up_works_for_no_stranger_and_listens_to_this_machine_alone() -> None:
    own = Config()
    assert not own.work.enabled
    assert own.network.listen.startswith("127.0.0.1:") and own.api.listen.startswith("127.0.0.1:")
    assert own.network.peers == own.network.advertise == own.work.allowed_contractors == own.work.denied_contractors == []
    assert (own.sync.mode, own.work.judge, own.log.level) == ("certificates", "corroborated", "info")
    assert own.work.verify and own.work.check_record and own.work.reveal == "always"


@pytest.mark.parametrize(
    ("setting", "good"),
    [
        ("network.advertise", "a:1"),
        ("network.peers", "a:1"),
        ("work.allowed_contractors", ME),
        ("work.denied_contractors", ME),
        ("work.gpus", "nvidia.com/gpu=0 cuda 24000"),
    ],
)
def test_every_entry_of_a_list_is_checked(setting: str, good: str) -> None:
    """One that counts for nobody, an identity with a typing mistake among them, would be found out too late."""
    section, _, key = setting.partition(".")
    for entries in (["none of it"], [good, "none of it"], [good, good, ""]):
        with pytest.raises(ConfigError, match=setting):
            parse(f"[{section}]\n{key} = {config.toml_value(entries)}", "config.toml")


@pytest.mark.parametrize(
    ("setting", "least", "most"),
    [
        ("storage.quota_mb", 64, 2**30),
        ("sync.snapshot_after", 1, 2**40),
        ("work.min_time_left_s", 0, 30 * 86_400),
        ("work.max_run_s", 1, 30 * 86_400),
        ("work.max_eval_s", 1, 86_400),
        ("work.max_cpus", 0, 1_024),
        ("work.max_image_mb", 1, 65_536),
        ("work.max_model_mb", 1, 65_536),
        ("work.max_mem_mb", 16, 2**22),
        ("work.max_data_mb", 0, 1_048_576),
        ("work.data_mb", 0, 1_048_576),
        ("work.max_hidden_mb", 1, 65_536),
        ("work.concurrent", 1, 64),
        ("serve.slots", 1, 16),
        ("serve.mem_mb", 64, 4_194_304),
        ("serve.warm", 0, 16),
        ("serve.inputs_mb", 16, 1_048_576),
        ("serve.warm_idle_s", 10, 86_400),
        ("predict.n", 1, 15),
        ("predict.agree", 0, 15),
        ("work.attempts", 1, 1_000),
        ("work.serve_won_days", 1, 3_650),
        ("sandbox.disk_from_mb", 1, 2**20),
        ("sandbox.data_mb", 1, 2**20),
        ("sandbox.images_mb", 64, 2**24),
    ],
)
def test_numbers_have_a_least_and_a_most(setting: str, least: int, most: int) -> None:
    """In the file and in the environment alike."""
    for value in (least, most):
        assert config.parse_value(setting, str(value), "") == value
    for value in (least - 1, most + 1):
        with pytest.raises(ConfigError, match=setting):
            config.parse_value(setting, str(value), "")
        with pytest.raises(ConfigError, match=setting):
            parse("{}.{} = {}".format(*setting.split("."), value), "")


@pytest.mark.parametrize(("old", "now"), sorted(config.RENAMED.items()))
def test_a_setting_that_moved_is_told_by_its_new_name(tmp_path: Path, old: str, now: str) -> None:
    """In the file, in the environment and where it is typed."""
    assert old not in SETTINGS and now in SETTINGS
    section, key = old.split(".")
    told = f"{old} is called {now} now"
    with pytest.raises(ConfigError, match=re.escape(told)):
        config.parse_value(old, "1", "config set")
    (tmp_path / "config.toml").write_text(f"[{section}]\n{key} = 1\n")
    with pytest.raises(ConfigError, match=re.escape(told)):
        load(tmp_path, {})
    (tmp_path / "config.toml").write_text("")
    with pytest.raises(ConfigError, match=re.escape(told)) as fault:
        load(tmp_path, {"LEARNINGCHAIN_" + old.replace(".", "_").upper(): "1"})
    assert SETTINGS[now].variable in str(fault.value)


def test_what_is_written_is_on_disk_before_it_replaces_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append("content"), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda source, target: (done.append("name"), replace(source, target))[1])
    change(tmp_path, {"name": "alice"})
    assert done[:2] == ["content", "name"]


def test_a_file_that_cannot_be_replaced_leaves_no_other_with_its_secrets(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        config.write(path, 'storage.url = "postgresql://u:secret@h/db"\n')
    assert list(tmp_path.iterdir()) == [path]
