"""What a live page loads on the first click: ONNX Runtime Web and networks, as script files beside the book's pages.

A page that was opened from a file may not fetch, but it may run scripts. So each file is gzipped, written as base64 into a script,
and unpacked in the page. `viewing/live.js` looks for them in the folder `live`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from itertools import starmap
from pathlib import Path

from denseseg.course.vendor import fetch
from denseseg.errors import DataError
from denseseg.methods.denseseg import DenseSeg
from denseseg.methods.onnx_export import to_onnx
from denseseg.viewing.widget import FOLDER
from denseseg.weights import load_pretrained

# name in the book's pages -> what loads it: of the networks that come with the package
NETWORKS: dict[str, Callable[[], DenseSeg]] = {"chest": partial(load_pretrained, "chest")}

PACKAGE = "onnxruntime-web@1.30.0"  # goes with onnxruntime 1.31 and 1.30: both read what `methods.onnx_export` writes
# file of the package -> its SHA-256: the loader, an ES module that needs no other one, and the WebAssembly for one thread
FILES = {
    "dist/ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "dist/ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
STORE = "(globalThis.denseseg ??= {})"  # where scripts leave what they bring


def put_networks(cache: Path, static: Path) -> None:
    """Put the scripts of all `NETWORKS` into the folder `live` of the book's static files.

    Without npm or a network the book is built all the same: its pages then say that the network is not there, and so does a notice.
    """
    if not NETWORKS:
        return
    try:
        write_scripts(cache, static / "live", {name: to_onnx(load()) for name, load in NETWORKS.items()})
    except (OSError, subprocess.SubprocessError) as error:
        print(f"note: this build's pages cannot run a network ({type(error).__name__}: {error})")


def write_scripts(cache: Path, folder: Path, networks: Mapping[str, bytes]) -> Path:
    """Write runtime.js, a script for each network (name -> ONNX file) and sizes.js, which says how large they are, to `folder`.

    The runtime is fetched once with npm into `cache`. Raises DataError where it is not what was published, OSError without npm,
    SubprocessError offline.
    """
    loader, wasm = runtime_files(cache)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    parts = {"worker": (FOLDER / "live_worker.js").read_bytes(), "loader": loader, "wasm": wasm}
    (folder / "runtime.js").write_text("".join(starmap(stored, parts.items())), "ascii")
    for name, network in networks.items():
        (folder / f"{name}.js").write_text(stored(name, network), "ascii")
    sizes = {path.stem: path.stat().st_size for path in sorted(folder.glob("*.js"))}
    (folder / "sizes.js").write_text(f"{STORE}.sizes = {json.dumps(sizes)};\n", "ascii")
    return folder


def runtime_files(cache: Path) -> list[bytes]:
    """The contents of `FILES`, of the package that is unpacked in `cache`, or fetched."""
    unpacked = fetch(PACKAGE, cache / PACKAGE)
    contents = [(unpacked / name).read_bytes() for name in FILES]
    for name, content, published in zip(FILES, contents, FILES.values(), strict=True):
        if hashlib.sha256(content).hexdigest() != published:
            raise DataError(f"{unpacked / name} is not what was published; remove {unpacked.parent} and try again")
    return contents


def stored(name: str, content: bytes) -> str:
    """A line of JavaScript that stores bytes under a name, the same for the same bytes."""
    packed = base64.b64encode(gzip.compress(content, mtime=0)).decode("ascii")
    return f'{STORE}["{name}"] = "{packed}";\n'
