#!/bin/sh
# Runs setup.py with the first Python that the pinned packages support.
set -u
for python in ${PYTHON:-python3.11 python3.12 python3.13}; do
    if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        exec "$python" -B "$(dirname "$0")/setup.py"
    fi
done
echo "error: Python 3.11, 3.12 or 3.13 is needed; tried without success: ${PYTHON:-python3.11 python3.12 python3.13}." >&2
echo "       Install it (Debian, Ubuntu: apt install python3.11 python3.11-venv)," >&2
echo "       or name it: make setup PYTHON=/path/to/python3.11" >&2
exit 2
