# shellcheck shell=sh
# Sets $python to the first interpreter that can run this project (3.11 or later): the one
# of .venv, else the newest on the PATH, else one that pyenv keeps. Each candidate is tried,
# not looked up: pyenv's shims exist for versions that are not selected, and fail when run.
# Sourced by scripts/demo and scripts/test, with $here set to the folder of both.

python=
for candidate in \
  "$here/../.venv/bin/python" \
  python3.14 python3.13 python3.12 python3.11 python3 python \
  "${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}"/versions/3.1[1-9].*/bin/python3
do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    python=$candidate
    break
  fi
done

if [ -z "$python" ]; then
  echo "No Python 3.11 or later was found on the PATH. Install one, e.g.: apt-get install python3 python3-venv" >&2
  exit 1
fi
