#!/bin/sh
# Runs setup.py with the first Python that the pinned packages support.
set -u
for python in ${PYTHON:-python3.11 python3.12}; do
    if "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
        exec "$python" "$(dirname "$0")/setup.py"
    fi
done
echo "error: Python 3.11 or 3.12 is needed; tried without success: ${PYTHON:-python3.11 python3.12}." >&2
echo "       Install it (Debian, Ubuntu: apt install python3.11 python3.11-venv python3.11-dev)," >&2
echo "       or name it: make setup PYTHON=/path/to/python3.11" >&2
exit 2
