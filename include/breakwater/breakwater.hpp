#pragma once

// All of breakwater that needs only the required packages, libcurl and nlohmann_json.

#include <breakwater/attempt_forecast.hpp>
#include <breakwater/attempt_timeout.hpp>
#include <breakwater/backoff.hpp>
#include <breakwater/bulkhead.hpp>
#include <breakwater/cache.hpp>
#include <breakwater/circuit_breaker.hpp>
#include <breakwater/client/curl_from_json.hpp>
#include <breakwater/client/explain.hpp>
#include <breakwater/client/from_json.hpp>
#include <breakwater/clock.hpp>
#include <breakwater/deadline.hpp>
#include <breakwater/error.hpp>
#include <breakwater/events.hpp>
#include <breakwater/explain.hpp>
#include <breakwater/fallback.hpp>
#include <breakwater/keyed.hpp>
#include <breakwater/observe/log.hpp>
#include <breakwater/outcome.hpp>
#include <breakwater/pipeline.hpp>
#include <breakwater/random.hpp>
#include <breakwater/rate_limiter.hpp>
#include <breakwater/resilient_client.hpp>
#include <breakwater/result.hpp>
#include <breakwater/retry.hpp>
#include <breakwater/status_of.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/store/store.hpp>
#include <breakwater/transport/curl.hpp>
#include <breakwater/transport/transport.hpp>
#include <breakwater/version.hpp>
