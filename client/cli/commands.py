"""The commands by name, what each is for, and the pages that list them. Imports nothing: `learningchain --help` is quick."""

from __future__ import annotations

from learningchain.client import contracts
from learningchain.client.cli.entries import COMMANDS, Command, Family, Sections

_OWN: Sections = {
    "Getting started": (
        Command(
            "init",
            "setup:init",
            "Make an identity, its settings and its data folder.",
            "init --name alice --peer node.example.org:7400",
        ),
        Command("id", "setup:identity", "This node's address and public key; no running node is needed.", "id --json"),
        Command(
            "backup",
            "backup:backup",
            "Save identity, settings, names and open secrets in one encrypted file.",
            "backup monday.backup",
        ),
        Command("restore", "backup:restore", "Make a data folder from a backup.", "restore monday.backup --data restored"),
        Family(
            "keystore",
            "Copy the identity to another machine, or give it another passphrase. No running node is needed.",
            (
                Command("export", "keystore:export", "Copy the identity into an encrypted file.", "keystore export alice.key"),
                Command(
                    "import",
                    "keystore:import_",
                    "Put an exported identity into a data folder that has none.",
                    "keystore import alice.key",
                ),
                Command(
                    "passphrase",
                    "keystore:change_passphrase",
                    "Encrypt the keystore with another passphrase.",
                    "keystore passphrase",
                ),
            ),
        ),
        Command(
            "demo",
            "daemon:demo",
            "Run the main job on a graph of five nodes on this machine.",
            "demo --json-file summary.json",
        ),
        Family(
            "lab",
            "A graph of nodes on this machine to try things on; they run on until they are ended.",
            (
                Command("up", "lab:up", "Make such a graph and start it, or start it again.", "lab up --nodes 4 --folder lab"),
                Command("status", "lab:status", "Show its nodes: process, height, peers, sandbox.", "lab status"),
                Command("down", "lab:down", "End its nodes; the folder stays.", "lab down"),
            ),
        ),
        Command(
            "completion",
            "completion:completion",
            "Let the shell complete commands and options.",
            "completion bash --install",
        ),
        Family(
            "genesis",
            "Make, look at and install the file that a network starts from.",
            (
                Command(
                    "new",
                    "network:new",
                    "Make the file of a new network.",
                    "genesis new --name demo --validator 02ab...=1000 --out genesis.json",
                ),
                Command("show", "network:show", "Show what a network starts with.", "genesis show genesis.json"),
                Command(
                    "install",
                    "network:install",
                    "Check a network's file and put it into the data folder.",
                    "genesis install genesis.json",
                ),
            ),
        ),
        Family(
            "restart",
            "Let a network go on that lost its quorum for good, from a state that everybody can check.",
            (
                Command("plan", "restart:plan", "Show where this node's chain ends, to compare and agree.", "restart plan"),
                Command(
                    "make",
                    "restart:make",
                    "Make the new network's file from this node's chain.",
                    "restart make new.json --name demo2 --validator alice --validator bob",
                ),
                Command(
                    "check",
                    "restart:check",
                    "Make it anew from this node's own chain, and say what differs.",
                    "restart check new.json --validator alice --validator bob",
                ),
            ),
        ),
    ),
    "The node": (
        Command("node", "daemon:node", "Run the node until it is interrupted.", "node --work"),
        Command("status", "ledger:status", "Where the node stands: network, height, peers.", "status --json", asks=(0, 0)),
        Command("doctor", "doctor:doctor", "Look at all that the node needs, running or not, and say what to do.", "doctor --json"),
        Command("top", "top:top", "Watch blocks, runs, live jobs and leaderboards in this terminal.", "top"),
        Command("dashboard", "dashboard:dashboard", "Open the node's pages in a browser, logged in.", "dashboard"),
        Family(
            "audit",
            "Check the blocks that this node took over by their certificates, by executing them.",
            (Command("chain", "audit:chain", "Execute the whole chain again from genesis, trusting nobody.", "audit chain"),),
            "audit:audit",
        ),
        Family(
            "db",
            "Look through the node's database, or copy it between a file and a PostgreSQL server.",
            (
                Command("check", "database:check", "Check every block, index and hash of the state.", "db check"),
                Command(
                    "copy", "database:copy", "Copy the database into another one, and compare.", "db copy postgresql:///chain --use"
                ),
            ),
        ),
        Command("machines", "machine:machines", "Other machines that train for this node.", "machines"),
        Family(
            "machine",
            "Let other machines of yours train for this node; none of them holds a key of it.",
            (
                Command("add", "machine:add", "Make a token with which one machine joins; it is shown once.", "machine add gpu1"),
                Command(
                    "doctor",
                    "machine:doctor",
                    "On the machine: look at all that it needs, and say what to do.",
                    "machine doctor",
                ),
                Command(
                    "drain", "machine:drain", "Let a machine take no further training; what it has goes on.", "machine drain gpu1"
                ),
                Command("join", "machine:join", "On the machine: join the node that made the token.", "machine join lcm_k9..."),
                Command("run", "machine:run", "On the machine: train for the node until interrupted.", "machine run"),
                Command(
                    "lease", "machine:lease", "In a job of Slurm: train once for the node that asked for it.", "machine lease FILE"
                ),
                Command("remove", "machine:remove", "Let a machine train no more; its runs end.", "machine remove gpu1"),
            ),
        ),
        Command("peers", "ledger:peers", "Nodes that this one is connected to.", "peers", asks=(0, 0)),
        Family(
            "config",
            "Show the effective settings and where each comes from, or change one.",
            (
                Command("set", "setup:config_set", "Change a setting in the file.", "config set work.attempts 5"),
                Command("show", "setup:config_show", "Show the effective settings and where each comes from.", "config show"),
            ),
            "setup:config_show",
        ),
    ),
    "Your data": (
        Family(
            "data",
            "Your own data, for training at home, which no other run sees; sets that you publish for jobs, for everybody.",
            (
                Command(
                    "add", "data:add", "Copy the files of a folder to the node's engine under a name.", "data add scans ./folder"
                ),
                Command("list", "data:list_data", "Own data and published sets, how large, and where.", "data list", asks=(0, 0)),
                Command("publish", "data:publish", "Publish a folder for jobs; its CID is printed.", "data publish ./digits"),
                Command("remove", "data:remove", "Remove own data from the node's engine.", "data remove scans"),
                Command("unpublish", "data:unpublish", "Keep a published set no longer.", "data unpublish bafk..."),
            ),
        ),
        Command("files", "files:files", "What lies on this node, for what, since when, and what may go.", "files", asks=(0, 0)),
        Family(
            "file",
            "Files of the graph, by CID: give one, get one, see what this node keeps.",
            (
                Command("add", "files:add", "Give a file to the graph; its CID is printed.", "file add rows.jsonl"),
                Command("get", "files:get", "Get a file by its CID.", "file get bafk... --out rows.jsonl"),
                Command("list", "files:list_files", "What users gave to this node.", "file list", asks=(0, 0)),
                Command("remove", "files:remove", "Keep a file no longer.", "file remove bafk..."),
            ),
        ),
    ),
    "Access": (
        Family(
            "signer",
            "Keep a validator's key in a process or on a machine of its own.",
            (
                Command(
                    "pair",
                    "signer:pair",
                    "Prepare this folder as a signer's, and write the file for its node.",
                    "signer pair node.pair --listen tcp:10.0.0.7:7402 --guard guard",
                ),
                Command("use", "signer:use", "Let the node of this folder sign by a signer.", "signer use node.pair"),
                Command("run", "signer:run", "Hold the key and sign for one node until interrupted.", "signer run"),
            ),
        ),
        Family(
            "token",
            "Let programs use this node's API for less than everything. No running node is needed.",
            (
                Command(
                    "new",
                    "token:new",
                    "Make a token with a scope, a spending limit and an end; it is shown once.",
                    "token new --can post --max 5 --days 30",
                ),
                Command("list", "token:list_tokens", "The tokens: what each may do and has spent.", "token list"),
                Command("revoke", "token:revoke", "Take a token back, from the next request on.", "token revoke 3fa9c1d2"),
            ),
        ),
    ),
    "Credits and blocks": (
        Command(
            "balance", "ledger:balance", "Credits of an account.", "balance lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq", asks=(0, 1)
        ),
        Command("history", "ledger:history", "Movements of an account's credits, newest first.", "history --limit 20", asks=(0, 1)),
        Command("why", "receipts:why", "Why credits came or went, proven on the spot.", "why 3fa9c1"),
        Family(
            "receipt",
            "Files that prove to strangers, offline, what became of a transaction.",
            (
                Command("get", "receipts:get", "Save the receipt of a transaction, or of a block.", "receipt get 9c1f..."),
                Command(
                    "account",
                    "receipts:account",
                    "Save what the state holds of an account.",
                    "receipt account lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq",
                ),
                Command(
                    "check",
                    "receipts:check",
                    "Check a receipt from a genesis file alone, and say what it proves.",
                    "receipt check payment.lcr --genesis genesis.json",
                ),
            ),
        ),
        Family(
            "name",
            "Call accounts by names of your own: they stand beside addresses and may be typed for them. Nobody else sees them.",
            (
                Command(
                    "set",
                    "names:set_name",
                    "Give an account a name.",
                    "name set lc1qzhpf322g4gqk3mwqswl4843jalz4y88hettnq alice",
                ),
                Command("list", "names:list_names", "The names that you gave.", "name list"),
                Command("remove", "names:remove_name", "Forget a name.", "name remove alice"),
            ),
        ),
        Family(
            "block",
            "Look at blocks.",
            (Command("show", "ledger:block_show", "Show a block.", "block show latest", asks=(0, 1)),),
        ),
        Family(
            "tx",
            "Look at transactions; make, sign and submit them on different machines.",
            (
                Command("show", "ledger:tx_show", "Show a transaction and its receipt.", "tx show 9c1f...", asks=(1, 1)),
                Command(
                    "make",
                    "offline:make",
                    "Write a transaction into a file, to be signed elsewhere.",
                    "tx make pay.json Transfer target=alice amount=2.5",
                ),
                Command(
                    "sign",
                    "offline:sign",
                    "Show what a file says and sign it; needs the keystore alone.",
                    "tx sign pay.json",
                ),
                Command("submit", "offline:submit", "Offer a signed file to the graph.", "tx submit pay.signed.json"),
            ),
        ),
    ),
    "Callbacks": (
        Family(
            "callback",
            "Where this node tells programs what happens to something of yours: signed posts to a URL.",
            (
                Command("list", "callbacks:list_callbacks", "What is told where, and how that goes.", "callback list", asks=(0, 0)),
                Command("show", "callbacks:show", "What was told of one thing, and what waits.", "callback show 9c1f..."),
                Command(
                    "add",
                    "callbacks:add",
                    "Have what happens to something told to a URL.",
                    "callback add prediction 9c1f... https://example.org/hook",
                ),
                Command(
                    "test",
                    "callbacks:test",
                    "Post an event of the name test to a URL now.",
                    "callback test https://example.org/hook",
                ),
                Command("retry", "callbacks:retry", "Try now what waits or was given up.", "callback retry 9c1f..."),
                Command("remove", "callbacks:remove", "Tell nothing more of it, and forget it.", "callback remove 9c1f..."),
            ),
        ),
    ),
    "Jobs": (
        Family(
            "runs",
            "Runs of this node's worker and verifier, and why it leaves jobs alone.",
            (
                Command("show", "runs:show", "One run: its state, its curve, the end of its log.", "runs show latest", asks=(1, 1)),
                Command("log", "runs:log", "What the program of a run printed.", "runs log latest --lines 100"),
            ),
            alone="runs:runs",
            asks=(0, 0),
        ),
    ),
}


def _sections() -> Sections:
    """The program's own commands, then those of each contract; what has one heading is listed together."""
    found: Sections = {}
    slices = contracts.packages()
    tables = [("learningchain.client.cli", _OWN)]
    tables += [(slices[name], part.sections) for name, part in contracts.parts(COMMANDS).items()]
    for package, table in tables:
        for heading, entries in table.items():
            found[heading] = _with(found.get(heading, ()), [entry.of(package) for entry in entries])
    return found


def _with(listed: tuple[Command | Family, ...], more: list[Command | Family]) -> tuple[Command | Family, ...]:
    """Two families of one word are one."""
    words = {entry.name: n for n, entry in enumerate(listed) if isinstance(entry, Family)}
    made = list(listed)
    for entry in more:
        at = words.get(entry.name)
        before = None if at is None else made[at]
        if at is not None and isinstance(entry, Family) and isinstance(before, Family):
            made[at] = before.joined(entry)
        else:
            made.append(entry)
    return tuple(made)


SECTIONS: Sections = _sections()
ABOUT = "A graph of computers that trade machine-learning work for credits."
HINT = "Each command explains itself: learningchain job submit --help"
FIRST = [
    ("learningchain lab up", "try it: a graph of four nodes on this machine"),
    ("learningchain join TOKEN --work", "enter a graph by invitation, and earn"),
    ("learningchain job new my-job", "have a model trained: a job to begin from"),
    ("learningchain fed list --live", "train with others on data that stay at home"),
    ("learningchain model list", "ask a model that somebody offers"),
    ("learningchain init --name alice", "found a graph with people you know"),
    ("learningchain status", "how your node stands, and what it wants"),
    ("learningchain dashboard", "the same in a browser"),
]
_HELP = frozenset({"--help", "-h"})


def families() -> list[Family]:
    return [entry for entries in SECTIONS.values() for entry in entries if isinstance(entry, Family)]


def example(text: str) -> str:
    return f"Example: learningchain {text}"


def page(words: list[str]) -> str | None:
    """The page that lists commands, where one is asked for: all of them, or those of one family. None where a command is called."""
    if not words:
        return _first_page()
    asked = [word for word in words if word not in _HELP]
    if not asked:
        return _start_page()
    for family in families():
        if asked == [family.name] and not family.alone:  # that word alone is a command too
            return _family_page(family)
    return None


def _first_page() -> str:
    """What to do first, for whoever types the command alone."""
    return "\n".join([ABOUT, "", "What would you like to do?", "", *_rows(FIRST), "", "All commands: learningchain --help", ""])


def _start_page() -> str:
    lines = ["Usage: learningchain COMMAND", "", ABOUT]
    for section, entries in SECTIONS.items():
        lines += ["", f"{section}:", *_listing(sorted(entries, key=lambda entry: entry.name))]
    lines += ["", "Options:", *_rows([("--help (-h)", "Show this page."), ("--version", "Show the version.")])]
    return "\n".join([*lines, "", HINT, "", example("init --name alice"), ""])


def _family_page(family: Family) -> str:
    head = [f"Usage: learningchain {family.name} COMMAND", "", family.text, "", "Commands:"]
    return "\n".join([*head, *_listing(family.commands), "", example(family.commands[0].example), ""])


def _listing(entries: list[Command | Family] | tuple[Command, ...]) -> list[str]:
    return _rows([(entry.name, entry.text) for entry in entries])


def _rows(rows: list[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name:{width}}  {text}" for name, text in rows]
