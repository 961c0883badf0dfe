"""Run the commands of docs/gallery.md in their order, from the top folder of the repository; stop at the first failure.

The page is the script: what it prints is what made its pictures.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent / "gallery.md"


def commands(page: str) -> list[str]:
    """The lines of all `sh` blocks."""
    return [
        line for block in re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S) for line in block.splitlines() if line
    ]


def main() -> int:
    start = {"python": [sys.executable], "maquette": [sys.executable, "-m", "maquette"]}
    for command in commands(PAGE.read_text(encoding="utf-8")):
        print(f"$ {command}", flush=True)
        program, *arguments = shlex.split(command)
        code = subprocess.run([*start[program], *arguments], cwd=PAGE.parents[1], env=os.environ).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
