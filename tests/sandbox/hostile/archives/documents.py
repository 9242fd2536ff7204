"""The JSON documents of an image, written so that two readers see two things in them."""

from __future__ import annotations

import json
from typing import Any

from ..programs.kit import FINE, HELD
from .kit import ARCHITECTURE, JOB, Base, archive, case, digest, document, entry, over, tar

LAYER = tar(JOB)
OTHERS = "which some readers take for"
TWICE = "has a key twice"
NOT_JSON = "is not JSON"
VOLUME = {"/data": {}}


def configured(text: str | bytes) -> bytes:
    """An image with this configuration; DIGEST stands for its layer's."""
    raw = text.encode() if isinstance(text, str) else text
    return archive(LAYER, config=raw.replace(b"DIGEST", digest(LAYER).encode()))


def with_settings(settings: str, more: str = "") -> bytes:
    head = f'"os":"linux","architecture":"{ARCHITECTURE}","rootfs":{{"type":"layers","diff_ids":["DIGEST"]}}'
    return configured(f'{{{head},"config":{settings}{more}}}')


def listed(manifest: Any) -> bytes:
    return archive(LAYER, manifest=manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode())


@case("documents")
def volume(base: Base) -> bytes:
    """a VOLUME: space on the host's disk without a bound"""
    return over(base, settings={"Volumes": VOLUME})


@case("documents", OTHERS)
def volume_in_small_letters(_: Base) -> bytes:
    """the same, spelled `volumes`"""
    return archive(LAYER, settings={"volumes": VOLUME})


@case("documents", OTHERS)
def volume_in_capitals(_: Base) -> bytes:
    """the same, spelled `VOLUMES`"""
    return archive(LAYER, settings={"VOLUMES": VOLUME})


@case("documents", OTHERS)
def volume_with_a_long_s(_: Base) -> bytes:
    """the same with a long s, which Unicode folds into an s"""
    return archive(LAYER, settings={"Volume\u017f": VOLUME})


@case("documents", OTHERS)
def volume_in_wide_letters(_: Base) -> bytes:
    """the same in wide letters"""
    return archive(LAYER, settings={"\uff36olumes": VOLUME})


@case("documents", OTHERS)
def volume_by_an_escape(_: Base) -> bytes:
    """the same with an escaped letter of another case"""
    return with_settings('{"\\u0076olumes":{"/data":{}}}')


@case("documents", TWICE)
def second_settings(_: Base) -> bytes:
    """a second object of settings, spelled `Config`"""
    return with_settings("{}", ',"Config":{"Volumes":{"/data":{}}}')


@case("documents", TWICE)
def settings_twice(_: Base) -> bytes:
    """a second object of settings of the same name, which some readers merge into the first"""
    return with_settings('{"Volumes":{"/data":{}}}', ',"config":{}')


@case("documents", OTHERS)
def settings_in_capitals(_: Base) -> bytes:
    """settings under another spelling alone"""
    return archive(LAYER, config=document([digest(LAYER)], CONFIG={"Volumes": VOLUME}).replace(b'"config": {}, ', b""))


@case("documents", OTHERS)
def health_check_with_a_kelvin_sign(_: Base) -> bytes:
    """a health check whose k is the sign of kelvin"""
    return archive(LAYER, settings={"Healthchec\u212a": {"Test": ["CMD", "/lc/evil"]}})


@case("documents", "a key of more than 256 characters")
def marks_without_end(_: Base) -> bytes:
    """a key of one letter with 400,000 accents: putting them in order would stop the whole node for minutes"""
    return with_settings('{"Labels":{"a' + "\u0301\u0316" * 200_000 + '":"x"}}')


@case("documents", TWICE)
def layers_twice(_: Base) -> bytes:
    """two lists of layers in the configuration"""
    rootfs = '"rootfs":{"type":"layers","diff_ids":["DIGEST"],"diff_ids":[]}'
    return configured(f'{{"os":"linux","architecture":"{ARCHITECTURE}","config":{{}},{rootfs}}}')


@case("documents", TWICE)
def manifest_with_two_lists(_: Base) -> bytes:
    """two lists of layers in the manifest"""
    return listed(b'[{"Config":"config.json","Layers":["0/layer.tar"],"Layers":["../../etc/passwd"]}]')


@case("documents", TWICE)
def manifest_in_two_cases(_: Base) -> bytes:
    """two lists of layers in the manifest, one in small letters"""
    return listed(b'[{"Config":"config.json","Layers":["0/layer.tar"],"layers":["other"]}]')


@case("documents", "the archive must hold exactly one image")
def two_images(_: Base) -> bytes:
    """two images in one archive"""
    return listed([{"Config": "config.json", "Layers": ["0/layer.tar"]}] * 2)


@case("documents", "the archive must hold exactly one image")
def no_images(_: Base) -> bytes:
    """a list of no images"""
    return listed([])


@case("documents", "names no configuration or no layers")
def layers_of_another_kind(_: Base) -> bytes:
    """a number in place of a layer's name"""
    return listed([{"Config": "config.json", "Layers": [0]}])


@case("documents", "2 layers for 1 digests")
def layer_without_a_digest(_: Base) -> bytes:
    """a layer more than the configuration names"""
    return listed([{"Config": "config.json", "Layers": ["0/layer.tar", "0/layer.tar"]}])


@case("documents", NOT_JSON)
def deep_document(_: Base) -> bytes:
    """200,000 lists in each other"""
    return listed(b"[" * 200_000)


@case("documents", NOT_JSON)
def other_encoding(_: Base) -> bytes:
    """a configuration in UTF-16"""
    return archive(LAYER, config=document([digest(LAYER)]).decode().encode("utf-16"))


@case("documents", NOT_JSON)
def byte_order_mark(_: Base) -> bytes:
    """a configuration with a mark in front that some readers skip"""
    return archive(LAYER, config=b"\xef\xbb\xbf" + document([digest(LAYER)]))


@case("documents", NOT_JSON)
def bytes_behind_a_document(_: Base) -> bytes:
    """a second document behind the first"""
    return archive(LAYER, config=document([digest(LAYER)]) * 2)


@case("documents", NOT_JSON)
def half_a_character(_: Base) -> bytes:
    """half of a character, which some readers replace"""
    return with_settings('{"User":"\\ud800"}')


@case("documents", "holds NaN, which is not JSON")
def not_a_number(_: Base) -> bytes:
    """a number that is none"""
    return with_settings('{"StopTimeout":NaN}')


@case("documents", "the image's configuration is no object")
def document_of_another_kind(_: Base) -> bytes:
    """a list in place of the configuration"""
    return configured("[]")


@case("documents", "the image's configuration names no layers")
def no_layers(_: Base) -> bytes:
    """a configuration without layers"""
    return archive(config=document([]))


@case("documents", "the image's configuration names no layers")
def digest_in_capitals(_: Base) -> bytes:
    """a digest in capital letters"""
    return archive(LAYER, config=document([digest(LAYER).upper()]))


@case("documents", "not for linux")
def other_system(_: Base) -> bytes:
    """an image of another operating system"""
    return archive(LAYER, config=document([digest(LAYER)], os="windows"))


@case("documents", "this machine is")
def other_machine(_: Base) -> bytes:
    """an image of another processor"""
    return archive(LAYER, config=document([digest(LAYER)], architecture="s390x"))


@case("documents", "not sha256:0000", expect="sha256:" + "0" * 64)
def other_image(_: Base) -> bytes:
    """another image than the one that was posted"""
    return archive(LAYER)


@case("documents", "the image's environment is damaged")
def environment_without_values(_: Base) -> bytes:
    """an environment of words without a value, which engines take from their own"""
    return archive(LAYER, settings={"Env": ["DOCKER_HOST", "=x"]})


@case("settings", ends=FINE)
def stolen_tags(base: Base) -> bytes:
    """tags of well-known images and of this node's own, with an old list of tags beside"""
    stolen = {"debian": {"latest": "0" * 64}}
    tags = ["debian:latest", "learningchain/sidecar:latest", "localhost:5000/x:y"]
    return over(base, tags=tags, around=entry("repositories", json.dumps(stolen).encode()))


@case("settings", ends=FINE)
def own_start(base: Base) -> bytes:
    """a start of its own: entry point, command of 100 kB, root as the user, another folder, a terminal"""
    settings = {"Entrypoint": ["/lc/evil"], "Cmd": ["x" * 100_000], "User": "0:0", "WorkingDir": "/proc/1", "Tty": True}
    return over(base, settings=settings)


@case("settings", ends=FINE)
def own_health(base: Base) -> bytes:
    """a health check that runs for ever, a signal to end by that ends nothing, a port, a build step"""
    settings = {
        "Healthcheck": {"Test": ["CMD-SHELL", "while :; do :; done"], "Interval": 1},
        "StopSignal": "SIGCONT",
        "StopTimeout": 1 << 30,
        "ExposedPorts": {"2375/tcp": {}},
        "OnBuild": ["RUN rm -rf /"],
    }
    return over(base, settings=settings)


@case("settings", ends=FINE)
def foreign_labels(base: Base) -> bytes:
    """the labels by which another node finds its containers, and removes them"""
    return over(
        base, settings={"Labels": {"learningchain.node": "another", "learningchain.run": "sidecar", "learningchain.image": "x"}}
    )


@case("settings", ends=HELD, mode="environment_of_the_image")
def own_environment(base: Base) -> bytes:
    """the container's own variables with other values, and libraries to be loaded first"""
    env = ["LC_SEED=999", "LC_PHASE=evaluate", "LC_VERSION=9", "OMP_NUM_THREADS=999", "HOME=/proc", "LD_PRELOAD=/lc/none.so"]
    return over(base, settings={"Env": [*base.settings["Env"], *env]})
