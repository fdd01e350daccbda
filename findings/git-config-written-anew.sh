#!/bin/sh
# dulwich and GitPython set a name in Git's configuration, and an alias beside it, written by git, means something else from then on.
#
# Both write the whole file anew, where one expects that only what is set changes. dulwich gives a value with ";" no quotes, though it
# does for "#", so for git, and for itself, the rest is a comment. GitPython takes the quotes away that git had set, and leaves \" and
# \\ within them as they stand, so they are escaped a second time. dulwich 1.2.21, GitPython 3.2.1; git of the machine.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check dulwich==1.2.21 GitPython==3.2.1
cat > ask.py <<'END'
import subprocess
import tempfile

import dulwich.repo
import git

ALIASES = {"alias.news": "!f() { git fetch; git status; }; f", "alias.short": 'log --format="%h %s"'}


def by_git(folder, *words):
    done = subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True)
    return done.stdout.removesuffix("\n")


def by_dulwich(folder):
    config = dulwich.repo.Repo(folder).get_config()
    config.set((b"user",), b"name", b"A Name")
    config.write_to_path()


def by_gitpython(folder):
    with git.Repo(folder).config_writer() as config:
        config.set_value("user", "name", "A Name")


def seen_after(setting):
    with tempfile.TemporaryDirectory() as folder:
        by_git(folder, "init", "--quiet")
        for key, value in ALIASES.items():
            by_git(folder, "config", key, value)
        setting(folder)
        assert by_git(folder, "config", "user.name") == "A Name"
        return {key: by_git(folder, "config", key) for key in ALIASES}


found = {
    "git": seen_after(lambda folder: by_git(folder, "config", "user.name", "A Name")),
    "dulwich": seen_after(by_dulwich),
    "GitPython": seen_after(by_gitpython),
}
print(by_git(".", "--version"))
for name, seen in found.items():
    for key, value in seen.items():
        print(f"name set by {name:10} {key:12} {value}")
assert found["git"] == ALIASES, found
assert found["dulwich"] == {**ALIASES, "alias.news": "!f() { git fetch"}, found
assert found["GitPython"] == {**ALIASES, "alias.short": r"log --format=\"%h %s\""}, found
END
HOME=$folder GIT_CONFIG_NOSYSTEM=1 venv/bin/python ask.py
