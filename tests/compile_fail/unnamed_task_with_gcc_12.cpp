// expect: Give the task a name first
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>

namespace bw = breakwater;

bw::Task<int> fetch();

bw::Task<bw::Result<int>> run(bw::Pipeline<bw::Retry<>> guard) { co_return co_await guard.run_async(fetch); }
