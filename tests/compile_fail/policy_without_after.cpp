// expect: everything in a Pipeline must be a Policy
#include <breakwater/pipeline.hpp>

namespace bw = breakwater;

struct OnlyBefore {
    struct Lane {};
    bw::Before before(Lane&, auto&) const { return bw::proceed; }
};

int fetch();

auto run() { return bw::Pipeline{OnlyBefore{}}.run(fetch); }
