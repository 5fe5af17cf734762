"""Imported before all else by the command line: a signal during the other imports ends it as 75."""

from pipelines.stopping import end_when_asked, is_command

if is_command():
    end_when_asked()
