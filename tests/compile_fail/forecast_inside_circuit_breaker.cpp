// expect: an AttemptForecast must stand inside Fallback, Deadline and Retry, and outside CircuitBreaker
#include <breakwater/attempt_forecast.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/retry.hpp>

namespace bw = breakwater;

const bw::Pipeline guard{bw::Retry{}, bw::CircuitBreaker{{}}, bw::AttemptForecast{}};
