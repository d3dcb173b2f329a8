// expect: deleted.*Permit
#include <breakwater/bulkhead.hpp>

namespace bw = breakwater;

using Permit = bw::Bulkhead::Permit;

Permit twice(const Permit& permit) { return permit; }
