"""``python -m swath``: replaces this process by the binary."""

import os
import sys

from ._binary import binary

if __name__ == "__main__":
    program = binary()
    os.execv(program, [program, *sys.argv[1:]])
