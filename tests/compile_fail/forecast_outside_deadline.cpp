// expect: an AttemptForecast must stand inside Fallback, Deadline and Retry, and outside CircuitBreaker
#include <breakwater/attempt_forecast.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>

#include <chrono>

namespace bw = breakwater;

const bw::Pipeline guard{bw::Retry{}, bw::AttemptForecast{}, bw::Deadline{std::chrono::seconds{1}}};
