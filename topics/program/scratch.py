"""Where a program puts its temporary files: below its own data folder, emptied when it starts.

In the system's shared folder what a kill leaves stays for ever, and nobody may delete there what might be another
program's. It may be worse than litter: values of charts, and the client keys that the Kubernetes client writes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from topics.program.options import OptionError

FOLDER = "scratch"


def use_own_scratch(data: Path) -> Path:
    """Empty ``<data>/scratch`` and make it the place of temporary files, for this process and those that it starts.

    Only for who holds the lock of the data folder. Raises ``OptionError`` where it cannot be emptied or made.
    """
    folder = (data / FOLDER).absolute()
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise OptionError(f"--data {data}: {error.filename or folder}: {error.strerror or error}") from error
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    return folder
