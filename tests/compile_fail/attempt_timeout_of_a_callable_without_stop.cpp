// expect: under an AttemptTimeout a callable must take a std::stop_token or the call
#include <breakwater/attempt_timeout.hpp>
#include <breakwater/pipeline.hpp>

#include <chrono>

namespace bw = breakwater;

int fetch();

auto run() { return bw::Pipeline{bw::AttemptTimeout{std::chrono::seconds{1}}}.run(fetch); }
