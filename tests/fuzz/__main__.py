"""Fuzz the parsers: ``make fuzz``, or ``PYTHONPATH=tests python -m fuzz --help`` from the root of the checkout.

Every target runs in a process of its own for some seconds, guided by the branches it reaches (atheris, libFuzzer). All
stays below ``.fuzz``: what a run found interesting, for the next one, and in ``findings`` each input that broke the
promise of :mod:`fuzz.invariant` and so ended its target.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".fuzz"
RSS_MIB = 512
"""Memory of a process: the fuzzer takes some 200 to know its way, the parsers next to nothing."""
PATIENCE = 120
"""Seconds after which one input counts as endless."""
MOST_SHOWN = 8_000
"""Characters of what a run that found something said."""


def fuzz(name: str, seconds: int) -> None:
    """Run one target in this process; never returns."""
    import atheris

    with atheris.instrument_imports(include=["airflow_pop3_gateway"]):
        from fuzz.targets import TARGETS
    from fuzz import invariant
    from fuzz.seeds import LARGEST

    target = TARGETS[name]
    corpus, seeds, words = FOLDER / "corpus" / name, FOLDER / "seeds" / name, FOLDER / f"{name}.dict"
    for folder in (corpus, seeds, FOLDER / "findings"):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (seeds / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
    options = {
        "max_total_time": seconds,
        "timeout": PATIENCE,
        "report_slow_units": PATIENCE,
        "rss_limit_mb": RSS_MIB,
        "max_len": 2 * LARGEST,
        "print_final_stats": 1,
        "artifact_prefix": FOLDER / "findings" / f"{name}-",
        **({"dict": words} if target.words else {}),
    }
    arguments = [f"-{option}={value}" for option, value in options.items()]
    atheris.Setup([name, *arguments, str(corpus), str(seeds)], lambda data: invariant.keep(target.take, data))
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in word)


def replay(name: str, files: Sequence[str]) -> None:
    """Give files to a target, without a fuzzer."""
    from fuzz import invariant
    from fuzz.targets import TARGETS

    for file in files:
        invariant.keep(TARGETS[name].take, Path(file).read_bytes())
        print(f"{file}: no finding")


def fuzz_all(seconds: int) -> int:
    """Run every target, one after another. :returns: 1 when one had a finding, else 0."""
    from fuzz.targets import TARGETS

    found = 0
    for name in TARGETS:
        command = [sys.executable, "-m", "fuzz", name, "--seconds", str(seconds)]
        ran = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, errors="replace")
        said = ran.stdout + ran.stderr
        print(f"{name}: {_figures(said)}", flush=True)
        if ran.returncode:
            found = 1
            print(said[-MOST_SHOWN:])
            for file in re.findall(r"Test unit written to (\S+)", said):
                print(f"again: PYTHONPATH=tests {sys.executable} -m fuzz {name} {file}", flush=True)
    return found


def _figures(said: str) -> str:
    executed = re.findall(r"stat::number_of_executed_units: *(\d+)", said) or ["?"]
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", said) or [("?", "?", "?")]
    return "{} executions, {} branches, {} features, {} inputs kept".format(executed[-1], *covered[-1])


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument(
        "target", nargs="?", help="the only one to run, in this process; default: all in turn"
    )
    parser.add_argument("file", nargs="*", help="give these to the target instead, without a fuzzer")
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    arguments = parser.parse_args()
    if arguments.file:
        replay(arguments.target, arguments.file)
        return 0
    if importlib.util.find_spec("atheris") is None:
        parser.error("atheris is not installed: pip install -e '.[fuzz]', where it has a wheel")
    if arguments.target is None:
        return fuzz_all(arguments.seconds)
    fuzz(arguments.target, arguments.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
