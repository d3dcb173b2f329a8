// expect: everything in a Pipeline must be a Policy
#include <breakwater/pipeline.hpp>

namespace bw = breakwater;

struct SaysYes {
    struct Lane {};
    bool before(Lane&, auto&) const { return true; }
    bw::After after(Lane&, auto&, auto&) const { return bw::done; }
};

int fetch();

auto run() { return bw::Pipeline{SaysYes{}}.run(fetch); }
