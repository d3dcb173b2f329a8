// expect: needs a function `int status_of\(const E&\)`, declared beside E
#include <breakwater/status_of.hpp>

#include <stdexcept>

namespace bw = breakwater;

bw::StatusOf<std::runtime_error> policy;
