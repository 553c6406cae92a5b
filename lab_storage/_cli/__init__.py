"""The command line: each command is a thin call of one method of `LabStorage`.

Needs the extra ``cli``. Nothing of the library imports it.
"""
