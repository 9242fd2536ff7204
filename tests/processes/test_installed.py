"""The wheel as people install it: by pipx and by uv, into environments that have nothing else, from local files alone.

What was installed runs a node that makes blocks and shows its dashboard; nothing of this tree is used by it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from scripts.packages import software, tree
from scripts.packages.__main__ import make
from tests.environments import ENVIRONMENTS, INSTALL_S, environment
from tests.processes.harness import Graph, NodeProcess, validators

INSTALLERS = Path(__file__).parents[1] / "packages" / "installers.txt"
EXTRA = ("psycopg", "psycopg-binary")
"""What `learningchain[postgresql]` adds."""


def wheels() -> Path:
    """A folder with a file of every locked package, as the lock's hashes have it, and of pip. Skips where they cannot be had."""
    always, known = software.pins(software.LOCK / "run.txt"), software.pins(software.LOCK / "dev.txt")
    wanted = always | {name: known[name] for name in EXTRA} | {"pip": software.pins(INSTALLERS)["pip"]}
    lines = [
        f"{name}=={version} {' '.join(f'--hash=sha256:{one}' for one in hashes)}" for name, (version, hashes) in wanted.items()
    ]
    text = "\n".join(lines) + "\n"
    folder = ENVIRONMENTS / f"wheels-{hashlib.sha256((text + sys.version).encode()).hexdigest()[:16]}"
    if (folder / "whole").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "wanted.txt").write_text(text)
    how = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [sys.executable, *how, "--require-hashes", "--dest", folder, "--requirement", folder / "wanted.txt"],
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    if done.returncode:
        why = done.stderr.strip().splitlines()
        pytest.skip(f"the locked packages cannot be fetched here: {why[-1] if why else 'pip says nothing'}")
    (folder / "whole").touch()
    return folder


def ran(*words: str | Path, **environ: Path | str) -> str:
    """What a command says that must not fail. It knows nothing of the caller's Python, pip or uv settings."""
    apart = ("PYTHON", "PIP", "UV_", "LEARNINGCHAIN_", "VIRTUAL_ENV")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(apart)}
    given = {key: str(value) for key, value in environ.items()}
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "UV_NO_CONFIG": "1", "UV_OFFLINE": "1"}
    done = subprocess.run([*words], env=clean | nowhere | given, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, words))}: {done.stdout[-2_000:]}{done.stderr[-2_000:]}"
    return done.stdout


def by_pipx(installers: Path, wheel: Path, files: Path, home: Path) -> Path:
    """The command that pipx made, with its page where `man` looks for it."""
    local = f"--constraint {constraints(wheel)}"
    places = {
        "PIPX_HOME": home / "pipx",
        "PIPX_BIN_DIR": home / "bin",
        "PIPX_MAN_DIR": home / "man",
        "HOME": home,
        "PIP_FIND_LINKS": files,
    }
    ran(installers, "-m", "pipx", "install", "--python", sys.executable, "--pip-args", local, f"{wheel}[postgresql]", **places)
    assert (home / "man/man1/learningchain.1").read_text().startswith(".TH LEARNINGCHAIN 1")
    return home / "bin" / "learningchain"


def by_uv(installers: Path, wheel: Path, files: Path, home: Path) -> Path:
    local = ("--no-index", "--find-links", files, "--constraints", constraints(wheel))
    places = {"UV_TOOL_DIR": home / "tools", "UV_TOOL_BIN_DIR": home / "bin", "UV_CACHE_DIR": home / "cache", "HOME": home}
    uv = installers.parent / "uv"
    ran(uv, "tool", "install", "--python", sys.executable, *local, f"learningchain[postgresql] @ {wheel.as_uri()}", **places)
    return home / "bin" / "learningchain"


def constraints(wheel: Path) -> Path:
    return wheel.parent / f"learningchain-{tree.version()}-constraints.txt"


WHERE = """
import learningchain, psycopg
from learningchain import chain, client, p2p, sandbox
for module in (chain, client, learningchain, p2p, psycopg, sandbox):
    print(module.__file__)
"""


def looked_at(program: Path) -> None:
    """Its version, and that it is made of what was installed, PostgreSQL's driver included, and of nothing else."""
    assert ran(program, "--version") == f"learningchain {tree.version()}\n"
    python = program.resolve().parent / "python"
    home = program.resolve().parents[1]
    for file in ran(python, "-I", "-c", WHERE).splitlines():
        assert Path(file).is_relative_to(home), file


@pytest.mark.full("it installs the wheel twice; test_packages.py builds it and compares what is in it")
@pytest.mark.timeout(900)
async def test_what_pipx_and_uv_install_runs_a_node_with_its_dashboard(tmp_path: Path) -> None:
    installers = await asyncio.to_thread(environment, INSTALLERS, "pipx and uv")
    files = await asyncio.to_thread(wheels)
    await asyncio.to_thread(make, tmp_path / "dist")
    wheel = next((tmp_path / "dist").glob("*.whl"))
    programs = []
    for install in (by_pipx, by_uv):
        home = tmp_path / install.__name__
        home.mkdir()
        programs.append(await asyncio.to_thread(install, installers, wheel, files, home))
        await asyncio.to_thread(looked_at, programs[-1])
    async with Graph(tmp_path, validators(1)) as graph:
        node = graph["v0"]
        for program in programs:  # each goes on with the other's folder
            node.program = [str(program)]
            await node.start()
            await node.grows(2)
            await dashboard_is_shown(node, program)
            assert await node.stop() == 0


async def dashboard_is_shown(node: NodeProcess, program: Path) -> None:
    """By the command's link, as a browser would: page, templates of a contract, style and scripts."""
    said = await asyncio.to_thread(ran, program, "dashboard", "--no-open", "--plain", "--data", node.data)
    link = next(word for word in said.split() if word.startswith(node.api.url))
    async with aiohttp.ClientSession(node.api.url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        login = {"code": link.partition("code=")[2]}
        async with browser.post("/dashboard/login", data=login, headers={"Origin": node.api.url}) as home:
            assert home.status == 200 and "credits free" in await home.text()
        for path, kind in (
            ("/dashboard/jobs", "text/html"),
            ("/dashboard/federations", "text/html"),
            ("/dashboard/static/htmx.min.js", "javascript"),
            ("/dashboard/static/dashboard.css", "text/css"),
        ):
            async with browser.get(path) as answer:
                assert answer.status == 200 and kind in answer.headers["Content-Type"], path
    made = program.parent / "made"  # the files that a new job begins with are the wheel's, too
    await asyncio.to_thread(ran, program, "job", "new", made)
    assert (made / "Dockerfile").exists()
