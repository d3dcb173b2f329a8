# Shared by tests/run and examples/run, which source it from the root of the tree.

build_packages="g++ cmake ninja-build pkg-config libcurl4-openssl-dev nlohmann-json3-dev libcpp-httplib-dev \
libsqlite3-dev libssl-dev libhiredis-dev libasio-dev prometheus-cpp-dev ca-certificates"

jobs=$(nproc 2>/dev/null || echo 2)
command -v ccache >/dev/null && export CMAKE_CXX_COMPILER_LAUNCHER=ccache
: "${CXX:=g++}"
export CXX

# need INSTALL PACKAGE…: sees to it that these Debian packages are there. INSTALL: yes, or no = only root installs.
need() {
    local install=$1 package sudo="" missing=()
    shift
    command -v dpkg-query >/dev/null || return 0  # not Debian: CMake names what it misses
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        sudo=sudo
        if [ "$install" != yes ]; then
            echo "Missing packages. Install them with" >&2
            echo "    sudo apt-get install --no-install-recommends ${missing[*]}" >&2
            echo "or call this again with --install." >&2
            exit 1
        fi
    fi
    echo "== installing ${missing[*]}"
    # shellcheck disable=SC2086  # no sudo is no word
    $sudo apt-get update -qq &&
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# build PRESET [TARGET…]: configures, and builds the targets.
build() {
    local preset=$1 log
    shift
    log=$(mktemp)
    if ! cmake --preset "$preset" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
    [ $# = 0 ] || cmake --build "build/$preset" -j "$jobs" --target "$@"
}
