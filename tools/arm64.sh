#!/usr/bin/env bash
# fastsep for 64-bit Arm on an x86-64 Debian: cross-compiled, and run under qemu's user emulation.
#
#   tools/arm64.sh fetch   Debian's Python for arm64, into build/arm64, unless it is there
#   tools/arm64.sh build   NumPy, what the tests need and the wheel of fastsep for arm64, installed there
#   tools/arm64.sh test    the machine code, what is compiled in, the self-test, the tests of the kernels
#
# Needs gcc-aarch64-linux-gnu, libc6-dev-arm64-cross, qemu-user and apt-get, but not root: apt gets a state of its
# own and the packages are unpacked, not installed, so that the machine's packages and architectures stay as they
# are. Python for the build is .venv's, with the build requirements in it (`make test-arm64` sees to that).
set -euo pipefail
cd "$(dirname "$0")/.."

host_python=$PWD/.venv/bin/python
work=$PWD/build/arm64
sysroot=$work/sysroot
site=$work/site
python=$work/python

# What computes with vectors, on the one instruction set that is tested nowhere else, with few examples a Hypothesis
# test: Python is 20 times slower here. Threads, plans, arguments and the command line are the same everywhere.
tests=(
    tests/test_pointwise.py tests/test_depthwise.py tests/test_conv.py tests/test_separable.py
    tests/test_inverted_residual.py tests/test_activations.py tests/test_numerics.py tests/test_layouts.py
    tests/test_memory_guard.py tests/test_pooling.py tests/test_elementwise.py tests/test_network.py
    tests/test_squeeze_excite.py::test_block_keeps_the_bound_and_the_bits_of_the_parts
    tests/test_caches.py::test_depthwise_line_by_line tests/test_casts.py
)

apt_for_arm64() {
    apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root \
        -o Dir::State="$work/apt" -o Dir::State::status=/dev/null -o Dir::Cache="$work/apt" "$@"
}

# Version of the unpacked Python: 3.11.
version() { readlink "$sysroot/usr/bin/python3" | sed 's/^python//'; }

install_for_arm64() {
    "$host_python" -m pip install --quiet --target "$site" --upgrade --python-version "$(version)" \
        --only-binary=:all: --platform linux_aarch64 --platform manylinux2014_aarch64 \
        --platform manylinux_2_27_aarch64 --platform manylinux_2_28_aarch64 "$@"
}

fetch() {
    [ ! -x "$python" ] || return 0
    rm -rf "$work"
    mkdir -p "$work"/apt/lists/partial "$work"/apt/archives/partial "$sysroot"
    apt_for_arm64 update
    # libstdc++6 is for NumPy, libgomp1 for fastsep.
    apt_for_arm64 install --yes --no-install-recommends --download-only \
        python3-minimal libpython3-dev libgomp1 libstdc++6
    for package in "$work"/apt/archives/*.deb; do
        dpkg-deb --extract "$package" "$sysroot"
    done
    rm -rf "$work/apt"

    # Python as a program that other programs can start: only qemu knows how to run it, and -0 makes
    # sys.executable this script, so that the tests' child processes come through here too.
    cat >"$python" <<SCRIPT
#!/bin/sh
unset OPENBLAS_CORETYPE # of the machine outside
export OMP_WAIT_POLICY=passive PYTHONHOME='$sysroot/usr' PYTHONPATH='$site'
exec qemu-aarch64 -L '$sysroot' -0 "\$0" '$sysroot/usr/bin/python3' "\$@"
SCRIPT
    chmod +x "$python"
}

# setuptools reads flags, suffix and platform from the sysconfig data of the Python that it builds for.
build() {
    local data=_sysconfigdata__aarch64-linux-gnu compiler="aarch64-linux-gnu-gcc --sysroot=$sysroot"
    rm -rf "$work/dist"
    mkdir -p "$work/sysconfig"
    cp "$sysroot/usr/lib/python$(version)/$data.py" "$work/sysconfig/"
    CC="$compiler -I$sysroot/usr/include/python$(version)" LDSHARED="$compiler -shared" \
        PYTHONPATH="$work/sysconfig" _PYTHON_SYSCONFIGDATA_NAME=$data _PYTHON_HOST_PLATFORM=linux-aarch64 \
        "$host_python" -m pip wheel --quiet --no-build-isolation --no-deps --wheel-dir "$work/dist" .
    rm -rf "$site"
    install_for_arm64 pytest hypothesis threadpoolctl "$work"/dist/fastsep-*.whl
}

run_tests() {
    "$host_python" tools/check_assembly.py neon "$site"/fastsep/_isa.*.so
    "$python" -c 'import fastsep
assert fastsep.available_isas() == ("generic", "neon"), fastsep.available_isas()
assert fastsep.get_isa() == "neon", fastsep.get_isa()'
    "$python" -m fastsep info
    "$python" -m fastsep selftest
    "$python" -m pytest -p no:cacheprovider --hypothesis-profile=emulated -k "neon or the_guard_kills" "${tests[@]}"
}

case ${1:-} in
fetch) fetch ;;
build) build ;;
test) run_tests ;;
*)
    sed -n '2,/^set/{/^#/!d;s/^# \{0,1\}//p}' "$0"
    exit 2
    ;;
esac
