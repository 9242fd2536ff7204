"""Makes a job's image of a folder and a locked list of wheels, without an engine, and executes nothing of what goes in.

    base archive (Python and its libraries) --------------------------> bottom layer(s), byte for byte
    requirements.lock --fetch--> wheels --unpack, compile------------> a layer for each large wheel, one for all small ones
    job.toml: program and files of the folder -----------------------> top layer

The same base, wheels and files give the same image id on every machine. What could differ comes from the base alone: its own
interpreter, run from the unpacked archive, says which wheels fit and compiles the byte code.
"""

from learningchain.sandbox.building.base import OpenBase, open_base, own_base
from learningchain.sandbox.building.build import Built, build_folder, lock_folder
from learningchain.sandbox.building.folder import read_settings

__all__ = ["Built", "OpenBase", "build_folder", "lock_folder", "open_base", "own_base", "read_settings"]
