#!/bin/sh
# GitPython takes 2026-11-30T12:00:00 +0200 for noon in UTC, so the commit is two hours later than the one that git makes of that date.
#
# The offset is kept for display alone: the commit shows 14:00 +0200. One expects the moment that git has for the same text, as both
# read GIT_AUTHOR_DATE and the names of the forms (ISO 8601, RFC 2822) are git's. Seconds since the epoch and a datetime with a zone
# come out right, and in UTC nothing shows. GitPython 3.2.1; git of the machine.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check GitPython==3.2.1
cat > ask.py <<'END'
import os
import subprocess

import git

DATES = (
    "2026-11-30T12:00:00 +0200",
    "2026-11-30 12:00:00 -0330",
    "Mon, 30 Nov 2026 12:00:00 +0200",
    "1796032800 +0200",
)


def by_git(*words, **more):
    done = subprocess.run(["git", "-C", "work", *words], check=True, capture_output=True, text=True, env=os.environ | more)
    return done.stdout.strip()


def newest():
    shown, seconds = by_git("show", "--no-patch", "--format=%ad,%at", "--date=iso").split(",")
    return shown, int(seconds)


subprocess.run(["git", "init", "--quiet", "work"], check=True)
by_git("config", "user.name", "A Name")
by_git("config", "user.email", "a@example.com")
print(by_git("--version"))
later_h = []
for date in DATES:
    os.environ["GIT_AUTHOR_DATE"] = date
    by_git("commit", "--quiet", "--allow-empty", "--message", "by git")
    shown, seconds = newest()
    git.Repo("work").index.commit("by GitPython")
    shown_by_gitpython, seconds_by_gitpython = newest()
    later_h.append((seconds_by_gitpython - seconds) / 3600)
    print(f"{date:33} git: {shown}  GitPython: {shown_by_gitpython}")
assert later_h == [2, -3.5, 2, 0], later_h
END
HOME=$folder GIT_CONFIG_NOSYSTEM=1 venv/bin/python ask.py
