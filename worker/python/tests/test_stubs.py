"""What is generated is what the contract says."""

import os
import subprocess
import sys
from pathlib import Path


def test_the_checked_in_stubs_are_current() -> None:
    script = Path(__file__).parent.parent / 'generate_stubs.sh'
    environment = {**os.environ, 'PYTHON': sys.executable}
    checked = subprocess.run([script, '--check'], env=environment, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
