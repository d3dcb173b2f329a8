#pragma once

/// The client of most tests: without a network, and by a clock that the test moves. It is instantiated once, in
/// scripted_client.cpp, since that takes a compiler longer than all the rest of a test.

#include <breakwater/resilient_client.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <breakwater/testing/scripted_transport.hpp>

namespace test {

namespace bw = breakwater;

using ScriptedStore = bw::MemoryStore<bw::ManualClock>;
using ScriptedClient = bw::ResilientClient<bw::ScriptedTransport, ScriptedStore>;
using ScriptedCore = bw::ClientCore<bw::ScriptedTransport, ScriptedStore, bw::RuntimePolicies>;

}  // namespace test

extern template class breakwater::ClientCore<breakwater::ScriptedTransport, test::ScriptedStore,
                                             breakwater::RuntimePolicies>;
extern template class breakwater::ClientCaller<test::ScriptedCore>;
