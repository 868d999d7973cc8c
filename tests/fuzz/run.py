"""Fuzzes the harnesses with atheris, which is guided by the branches that an input takes: ``make fuzz``.

    python -m tests.fuzz.run [--seconds 60] [harness ...]

Each harness runs in a process of its own, from the hand-written corpus and from what earlier runs found in ``--corpus``.
What breaks one is written below ``--found``; the process's exit code is not zero then, and the input
belongs into ``tests/fuzz/corpus.py``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

HANG_SECONDS = 10
"""An input that takes longer is reported; what is accepted takes milliseconds."""

MAX_BYTES = 65_536


def fuzz(name: str, seconds: int, corpus: Path, found: Path) -> None:
    """Fuzz one harness in this process; ends it."""
    import atheris

    with atheris.instrument_imports(
        include=["topics", "orchestrator", "edge_agent", "cli", "json", "tarfile", "zipfile"]
    ):
        from tests.fuzz.corpus import CORPUS, words
        from tests.fuzz.harnesses import HARNESSES

    for seed in CORPUS:
        (corpus / hashlib.sha256(seed).hexdigest()[:20]).write_bytes(seed)
    dictionary = corpus.parent / "words"
    quoted = (word.replace("\\", "\\\\").replace('"', '\\"') for word in words())
    dictionary.write_text("".join(f'"{word}"\n' for word in quoted))
    arguments = [
        f"-max_total_time={seconds}", f"-timeout={HANG_SECONDS}", f"-max_len={MAX_BYTES}", "-rss_limit_mb=2048",
        f"-artifact_prefix={found}/{name}-", f"-dict={dictionary}", "-print_final_stats=1", "-verbosity=0", str(corpus),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *arguments], HARNESSES[name])
    atheris.Fuzz()


def main() -> int:
    """All harnesses named, one after the other; how many of them broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("harness", nargs="*")
    parser.add_argument("--seconds", type=int, default=60, help="for each harness")
    parser.add_argument("--corpus", type=Path, default=Path("var/fuzz/corpus"))
    parser.add_argument("--found", type=Path, default=Path("var/fuzz/found"))
    parser.add_argument("--here", action="store_true", help="one harness, in this process")
    options = parser.parse_args()
    if options.here:
        [name] = options.harness
        fuzz(name, options.seconds, options.corpus, options.found)
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed; it has wheels for Linux on x86-64: pip install atheris", file=sys.stderr)
        return 2
    from tests.fuzz.harnesses import HARNESSES

    broken = []
    for name in options.harness or HARNESSES:
        corpus = options.corpus / name
        corpus.mkdir(parents=True, exist_ok=True)
        options.found.mkdir(parents=True, exist_ok=True)
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz.run", "--here", name, "--seconds", str(options.seconds)]
        if subprocess.run([*command, "--corpus", corpus, "--found", options.found], check=False).returncode:
            broken.append(name)
    print(f"broken: {', '.join(broken)}; see {options.found}" if broken else "nothing was found")
    return len(broken)


if __name__ == "__main__":
    sys.exit(main())
