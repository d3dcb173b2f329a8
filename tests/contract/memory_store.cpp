#include <breakwater/store/memory.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include "store_contract.hpp"

#include <chrono>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

struct MemoryWorld {
    static constexpr bw::Duration unit = 1s;
    bw::ManualClock clock{};
    bw::MemoryStore<bw::ManualClock> store{clock};

    void advance(bw::Duration by) const { clock.advance(by); }
};

}  // namespace

TEST_CASE("MemoryStore keeps the promises of a store") { bw::test::check_store_contract<MemoryWorld>(); }
