// expect: a Hedge makes attempts side by side, which a callable that blocks cannot be
#include <breakwater/hedge.hpp>
#include <breakwater/pipeline.hpp>

namespace bw = breakwater;

int main() {
    const bw::Pipeline guard{bw::Hedge{}};
    (void)guard.run([] { return 1; });
}
