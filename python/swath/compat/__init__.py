"""Modules with the calls of other tools, for scripts that were written for them.

A script changes one import. Inside a trial its calls report and log through swath; by hand they
print or do nothing. ``docs/coming-from-guides.md`` says which calls there are.
"""
