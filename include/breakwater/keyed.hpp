#pragma once

// Limiters and breakers by key: a limit for each tenant, a circuit for each host.

#include <breakwater/keyed/by.hpp>
#include <breakwater/keyed/circuit_breaker.hpp>
#include <breakwater/keyed/options.hpp>
#include <breakwater/keyed/rate_limiter.hpp>
