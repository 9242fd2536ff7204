"""Results and models that are not what they should be."""

from __future__ import annotations

import os
import signal
import socket

from .kit import FINE, GOOD, HELD, MODEL, OUT, RESULT, attempt, case, finish, held, put

CAP = 256 * 1024


def bad(words: str) -> tuple[str, str]:
    return "bad-result", f"exit 0, but {words}"


@case("outputs", bad("result.json is a symbolic link"))
def result_is_a_link() -> None:
    """a result that is a link to a file of the host"""
    put(MODEL, b"weights")
    os.symlink("/etc/passwd", RESULT)


@case("outputs", bad("model is a symbolic link"), sampled=True)
def model_is_a_link() -> None:
    """a model that is a link to a file of the host"""
    put(RESULT, GOOD)
    os.symlink("/etc/shadow", MODEL)


@case("outputs", bad("model is a symbolic link"))
def links_in_a_circle() -> None:
    """links that name each other"""
    put(RESULT, GOOD)
    os.symlink("other", MODEL)
    os.symlink("model", f"{OUT}/other")


@case("outputs", bad("model is a symbolic link"))
def link_into_inputs() -> None:
    """a model that is a link to the job's own input"""
    put(RESULT, GOOD)
    os.symlink("/lc/in/job.json", MODEL)


@case("outputs", bad("model is a folder"))
def model_is_a_folder() -> None:
    """a folder in place of the model"""
    put(RESULT, GOOD)
    os.mkdir(MODEL)
    put(f"{MODEL}/model", b"weights")


@case("outputs", bad("result.json is a folder"))
def result_is_a_folder() -> None:
    """a folder in place of the result, without any right to look into it"""
    put(MODEL, b"weights")
    os.mkdir(RESULT, 0)


@case("outputs", HELD)
def model_is_a_pipe() -> None:
    """a pipe that nobody writes to, in place of the model"""
    put(RESULT, GOOD)
    attempt("a pipe", os.mkfifo, MODEL)
    held()


@case("outputs", bad("model is a socket"), gvisor=(bad("model is missing"),))
def model_is_a_socket() -> None:
    """a socket in place of the model"""
    put(RESULT, GOOD)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(MODEL)
    listener.listen()


@case("outputs", bad("model has 3145728 bytes; the limit is 262144"), model_cap=CAP)
def sparse_model() -> None:
    """a model of 3 MiB that holds nothing"""
    put(RESULT, GOOD)
    put(MODEL, b"")
    os.truncate(MODEL, 3 << 20)


@case("outputs", bad(f"model has {CAP + 1} bytes; the limit is {CAP}"), model_cap=CAP)
def model_one_byte_too_long() -> None:
    """a model of one byte more than is allowed"""
    finish(model=bytes(CAP + 1))


@case("outputs", bad("model is missing"))
def model_vanishes() -> None:
    """a model that is removed again at the end"""
    finish()
    os.unlink(MODEL)


@case("outputs", bad("model is empty"))
def model_is_empty() -> None:
    """a model of no bytes"""
    finish(model=b"")


@case("outputs", bad("result.json is missing"))
def result_vanishes() -> None:
    """a result that is renamed away"""
    finish()
    os.rename(RESULT, f"{OUT}/elsewhere")


@case("outputs", bad("model cannot be read: Permission denied"))
def unreadable_model() -> None:
    """a model that nobody may read"""
    finish()
    os.chmod(MODEL, 0)


@case("outputs", bad("result.json"))
def unreadable_folder() -> None:
    """an output folder that nobody may enter"""
    finish()
    os.chmod(OUT, 0)


@case("outputs", HELD)
def hard_links() -> None:
    """hard links to its inputs and to the image's files"""
    for path in ("/lc/in/job.json", "/etc/passwd", "/lc/job", "/proc/self/exe"):
        attempt(path, os.link, path, MODEL)
    held()


@case("outputs", FINE)
def strange_names() -> None:
    """other outputs whose names hold newlines, escapes, no text at all, 255 bytes"""
    for name in (b"a\nb", b"\xff\xfe", b"-rf", b"\x1b[2J", b"x" * 255, b"con:", b"result.json "):
        put(f"{OUT}/{os.fsdecode(name)}", b"x")
    finish()


@case("outputs", FINE, sampled=True)
def late_writer() -> None:
    """a child that goes on writing the outputs after the job has ended"""
    finish()
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            put(f"{OUT}/late", b"late")
            put(f"{OUT}/.model", b"weights")
            os.replace(f"{OUT}/.model", MODEL)


@case("outputs", bad("result.json has 4097 bytes; the limit is 4096"))
def long_result() -> None:
    """a result of one byte more than is allowed"""
    finish(GOOD.ljust(4097))


@case("outputs", bad("result.json has 8388608 bytes"), model_cap=8 << 20, file_cap=16 << 20)
def loss_of_megabytes() -> None:
    """a loss of eight million digits"""
    finish(GOOD.ljust(8 << 20, b"9"))


@case("outputs", bad("result.json is not JSON"))
def many_lines() -> None:
    """a thousand losses, one on each line"""
    finish(b"0.1\n" * 1000)


@case("outputs", bad("loss is no loss"))
def loss_is_not_a_number() -> None:
    """a loss of NaN in quotes"""
    finish(b'{"v":1,"loss":"NaN","n":1}')


@case("outputs", bad("result.json holds NaN"))
def bare_not_a_number() -> None:
    """a loss of NaN that only lenient parsers read"""
    finish(b'{"v":1,"loss":NaN,"n":1}')


@case("outputs", bad("loss is no loss"))
def loss_is_infinite() -> None:
    """a loss below every other: minus infinity"""
    finish(b'{"v":1,"loss":"-Infinity","n":1}')


@case("outputs", bad("loss is no loss"))
def loss_with_an_exponent() -> None:
    """a loss with an exponent"""
    finish(b'{"v":1,"loss":"1e-999999999","n":1}')


@case("outputs", bad("loss is no loss"))
def loss_in_foreign_digits() -> None:
    """a loss in digits that are not ASCII, with white space and signs"""
    finish('{"v":1,"loss":"\u0660.\u0661","n":1}'.encode())


@case("outputs", bad("loss must be a decimal in quotes"))
def loss_as_a_float() -> None:
    """a loss as a binary number"""
    finish(b'{"v":1,"loss":0.1,"n":1}')


@case("outputs", bad("result.json names 'loss' twice"))
def two_losses() -> None:
    """two losses: one for each reader"""
    finish(b'{"v":1,"loss":"9","loss":"0","n":1}')


@case("outputs", bad("result.json is nested"))
def nested_result() -> None:
    """a thousand objects in each other"""
    finish(b'{"v":' * 600 + b"1" + b"}" * 600)


@case("outputs", bad("result.json has a key that the contract does not know"))
def folded_key() -> None:
    """a key that readers who ignore case take for another"""
    finish(b'{"v":1,"loss":"9","Loss":"0","n":1}')


@case("outputs", bad("result.json is not UTF-8"))
def foreign_encoding() -> None:
    """a result in UTF-16"""
    finish(GOOD.decode().encode("utf-16"))
