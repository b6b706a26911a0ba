"""The names of other tools, for scripts that were written for them.

A script changes its import and runs with swath: each module has the names of one tool, as far as
they have a meaning here. A name without one raises an error that says what to use. The page
``docs/coming-from.md`` lists both.
"""
