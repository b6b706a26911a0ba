"""A Keras program that backs up its model in a default folder, and goes on from what is there,
gives each trial its own result with what `swath init --try` wrote.

usage: python default_folders.py STUDY     (STUDY is ignored; $SWATH names the binary)
"""
# needs: keras jax

import programs

if __name__ == "__main__":
    programs.check("dense.py", [], "val_loss", "min", r"val_loss: (\S+)", [])
