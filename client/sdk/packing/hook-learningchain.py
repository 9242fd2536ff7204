"""What PyInstaller packs beside the modules that it sees imported: contracts and names of the face are found by their names."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules, copy_metadata

hiddenimports = [*collect_submodules("learningchain"), "coincurve._cffi_backend"]
datas = [*collect_data_files("learningchain"), *copy_metadata("learningchain")]
