// expect: a Hedge, of which there is one, must stand inside Fallback, Deadline and Retry, and outside
#include <breakwater/hedge.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>

namespace bw = breakwater;

const bw::Pipeline guard{bw::Hedge{}, bw::Retry{}};
