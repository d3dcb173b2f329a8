// expect: a callable that gives a Task is guarded by run_async
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>

namespace bw = breakwater;

bw::Task<int> fetch();

auto run() { return bw::Pipeline{bw::Retry{}}.run(fetch); }
