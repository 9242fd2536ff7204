"""README, its starts and docs/operating.md as a newcomer follows them: their shell blocks in order, in one shell, on a real engine.

Replaced are only what differs between machines: ports, the base image where no registry is in reach, and the names that stand for
other people's keys and hosts. A node in the foreground is ended in order once it answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from learningchain.chain.crypto import SigningKey
from learningchain.client.keys.keystore import Keystore
from learningchain.sandbox import Sandbox
from learningchain.sandbox.images import build_python_image
from tests.unit.readme_kit import NOT_TYPED, ROOT, STARTS, blocks, readme

LIMIT_S = 540
"""Generous: the cores are shared, and five sandboxes prove themselves."""
pytestmark = pytest.mark.timeout(LIMIT_S + 60)
QUESTIONS = 20
"""More than the pages come to: each is answered with yes."""

BASE = "python:3.11-slim"
CURL = """
import sys, urllib.request
name, value = sys.argv[3].split(": ")
print(urllib.request.urlopen(urllib.request.Request(sys.argv[4], headers={name: value})).read().decode())
"""
STOP = """until learningchain status; do kill -0 $!; sleep 1; done 2>/dev/null
kill -TERM $!
wait $!"""
FOREGROUND = re.compile(r"^(learningchain node .*[^&\n])$", re.MULTILINE)


def free_tens(count: int) -> list[str]:
    """The first four digits of tens of ports that nobody uses now."""
    found: list[str] = []
    while len(found) < count:
        tens = str(secrets.randbelow(1_200) + 2_000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for digit in range(5):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", int(f"{tens}{digit}")))
            if tens not in found:
                found.append(tens)
    return found


@contextlib.contextmanager
def base_image(folder: Path) -> Iterator[str]:
    """The base image of README, or one like it where it is not there and cannot be fetched."""
    if subprocess.run(["docker", "image", "inspect", BASE], capture_output=True, check=False).returncode == 0:
        yield BASE
        return
    archive, name = folder / "base.tar", f"lc-readme-{secrets.token_hex(4)}:base"
    image_id = build_python_image(archive, {}, with_packages=())
    try:
        subprocess.run(["docker", "load", "-i", str(archive)], capture_output=True, check=True, timeout=120)
        subprocess.run(["docker", "tag", image_id, name], check=True, timeout=60)
        yield name
    finally:
        subprocess.run(["docker", "rmi", name], capture_output=True, check=False, timeout=60)


def script(base: str, tag: str) -> str:
    """All that README, its starts and the guide for operators have to type, in their order."""
    shell = [block.text for name in ("README.md", *STARTS) for block in blocks(name) if block.language == "sh"]
    shell = [text for text in shell if text not in NOT_TYPED and text != readme("make demo")]
    end = next(n for n, text in enumerate(shell) if "jobs -p" in text)
    job, sdk = [block.text for block in blocks(STARTS[0]) if block.language == "python"]
    operating = [block.text for block in blocks("docs/operating.md") if block.language == "sh"]
    parts = [
        "set -euo pipefail",
        "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT",
        f"cat > job.py <<'JOB'\n{job}JOB",
        f"cat > sdk.py <<'SDK'\n{sdk}SDK",
        *shell[:end],
        "echo; echo SDK SAYS; python sdk.py",
        *operating,
        shell[end],
        "echo OWN GRAPH",
        'export LEARNINGCHAIN_PASSPHRASE="typed at the prompt" LEARNINGCHAIN_API_LISTEN=127.0.0.1:OWNAPI',
        *shell[end + 1 :],
    ]
    text = FOREGROUND.sub(lambda found: f"{found[1]} &\n{STOP}", "\n".join(parts))
    p2p, api, own = free_tens(3)
    replaced = {"127.0.0.1:750": f"127.0.0.1:{p2p}", "127.0.0.1:760": f"127.0.0.1:{api}", "7400": f"{own}0", "OWNAPI": f"{own}1"}
    replaced |= {BASE: base, "my-job.tar": "the-job.tar", "my-job": tag}
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    text = text.replace("KEY_A", "$(learningchain id --public-key)")
    for letter in "BCDEF":
        text = text.replace(f"KEY_{letter}", public_key())
    return text


def public_key() -> str:
    return SigningKey(secrets.token_bytes(32)).public.hex()


def tools(folder: Path) -> str:
    """PATH with the command of this environment, and with curl where the machine has none."""
    folder.mkdir()
    for name in ("learningchain", "python"):
        words = "-m learningchain " if name == "learningchain" else ""
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
    if shutil.which("curl") is None:
        (folder / "curl.py").write_text(CURL)
        (folder / "curl").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{folder}/curl.py" "$@"\n')
    for file in folder.iterdir():
        file.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def clean_engine(lab: Path) -> None:
    for keystore in lab.glob("*/*/keystore.json"):
        room = Sandbox(keystore.parent / "sandbox", node_tag=Keystore.public(keystore).address[:20])
        room.cleanup()
        room.close()


def typed(text: str, folder: Path, home: Path) -> tuple[int, str]:
    """Exit code and output of a shell that is given these lines in `folder`, at a terminal where every question is answered yes."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LEARNINGCHAIN_")}
    environment |= {"HOME": str(home), "XDG_DATA_HOME": str(home / "share"), "PATH": tools(home / "bin")}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in (str(ROOT), environment.get("PYTHONPATH")) if p)
    keyboard, terminal = pty.openpty()
    os.write(keyboard, b"yes\n" * QUESTIONS)
    process = subprocess.Popen(
        ["bash", "-c", text],
        cwd=folder,
        env=environment,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=LIMIT_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
        os.close(terminal)
        os.close(keyboard)
    return process.returncode, out


def test_a_newcomer_gets_from_nothing_to_a_model(tmp_path: Path) -> None:
    tag, lab = f"lc-readme-{secrets.token_hex(4)}", tmp_path / "lab"
    lab.mkdir()
    with base_image(tmp_path) as base:
        try:
            code, out = typed(script(base, tag), lab, tmp_path)
        finally:
            subprocess.run(["docker", "rmi", tag], capture_output=True, check=False, timeout=60)
            clean_engine(lab)
    logs = "\n".join(f"{log.name}: {log.read_text()[-1500:]}" for log in sorted(lab.glob("lab/*.log")))
    assert code == 0, f"{out}\n{logs}"
    assert "is PAID" in out and "The winner's model" in out, out
    slope, offset = json.loads((lab / "model").read_text())
    assert slope == pytest.approx(3, abs=0.5) and offset == pytest.approx(1, abs=0.7), "the model is the line that the job draws"
    assert "Sent 2.5 credits" in out and "for lunch" in out
    assert "Job extended" in out and "Job taken back" in out, "what nobody claimed on"
    assert re.search(r"SDK SAYS\n[0-9.]+ \[\('[0-9a-f]{12}', 'EMPTY'\), \('[0-9a-f]{12}', 'PAID'\)\]", out), out
    assert '"network":"lab"' in out.replace(" ", ""), "curl shows the status"
    restored, owner = (Keystore.public(lab / folder / "keystore.json").address for folder in ("restored", "lab/node3"))
    assert restored == owner
    own = out.partition("OWN GRAPH")[2]
    assert "node started" in own and "network=ours" in own and "node stopping" in own, own


def test_a_graph_of_ones_own_and_a_machine_that_joins_it(tmp_path: Path) -> None:
    """README's lines for who keeps a graph running, here alone, and then those for who has a machine: it joins that graph."""
    init, told, install, node, invite, proposals = readme("genesis install").splitlines()
    join, doctor, *rest = readme("join TOKEN").splitlines()
    p2p, api, lab = *free_tens(2), tmp_path / "lab"
    lab.mkdir()
    lines = [
        "set -euo pipefail",
        "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT",
        'export LEARNINGCHAIN_PASSPHRASE="typed at the prompt"',
        f"export XDG_DATA_HOME=$PWD/alice LEARNINGCHAIN_API_LISTEN=127.0.0.1:{api}0",
        *(init, told),
        "learningchain genesis new --name ours --out genesis.json --validator $(learningchain id --public-key)=100",
        *(install, f"{node} > alice.log 2>&1 &", "learningchain status --wait 180"),
        *(f"token=$({invite.partition('#')[0]})", proposals),
        f"export XDG_DATA_HOME=$PWD/bob LEARNINGCHAIN_API_LISTEN=127.0.0.1:{api}1 LEARNINGCHAIN_NETWORK_LISTEN=127.0.0.1:{p2p}1",
        f"{join.partition('#')[0].replace('TOKEN', '$token')} > bob.log 2>&1 &",
        "until [ -f bob/learningchain/genesis.json ]; do kill -0 $!; sleep 1; done",
        "learningchain status --wait 180",
        f"{doctor.partition('#')[0]} || [ $? = 1 ]  # a warning: a machine of tests may have no clock service",
        *rest,
    ]
    text = "\n".join(lines).replace("alice.example:7400", f"127.0.0.1:{p2p}0").replace("0.0.0.0:7400", f"127.0.0.1:{p2p}0")
    try:
        code, out = typed(text, lab, tmp_path)
    finally:
        clean_engine(lab)
    logs = "\n".join(f"{log.name}: {log.read_text()[-1500:]}" for log in sorted(lab.glob("*.log")))
    assert code == 0, f"{out}\n{logs}"
    shown = (
        "No proposal is open",
        "role        member",
        "fine     node: it runs",
        'work.min_bounty = "5"',
        "is final: 1 of its 1 validators",
    )
    assert [words for words in shown if words not in out] == [], out
    print("README, not typed as it stands:", *(f"  {one.splitlines()[0]}: {why}" for one, why in NOT_TYPED.items()), sep="\n")
