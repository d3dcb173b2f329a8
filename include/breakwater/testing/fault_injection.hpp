#pragma once

// Services and stores that fail on demand: `FaultyTransport`, `FaultyStore`.

#include <breakwater/testing/fault_injection/store.hpp>
#include <breakwater/testing/fault_injection/transport.hpp>
