#include <breakwater/store/local_fallback.hpp>
#include <breakwater/store/memory.hpp>
#include <breakwater/testing/fault_injection/store.hpp>
#include <breakwater/testing/manual_clock.hpp>
#include <catch_shim.hpp>

#include "../telling_memory.hpp"
#include "store_contract.hpp"

#include <chrono>

namespace bw = breakwater;
using namespace std::chrono_literals;

namespace {

template <class Inside>
struct FallbackWorld {
    static constexpr bw::Duration unit = 1s;
    bw::ManualClock clock{};
    bw::LocalFallback<bw::FaultyStore<Inside>> store{bw::FaultyStore{Inside{bw::MemoryStore{clock}}}};

    void advance(bw::Duration by) const { clock.advance(by); }
};

}  // namespace

TEST_CASE("LocalFallback keeps the promises of a store") {
    bw::test::check_store_contract<FallbackWorld<bw::test::TellingMemory>>();
}

TEST_CASE("LocalFallback keeps the promises of a store around one that does not tell what it saw last") {
    bw::test::check_store_contract<FallbackWorld<bw::MemoryStore<bw::ManualClock>>>();
}
