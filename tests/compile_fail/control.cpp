// expect: it compiles
// If this stops compiling, the other files of this folder fail for the wrong reason.
#include <breakwater/result.hpp>

namespace bw = breakwater;

bw::Result<int> answer() { return 42; }
